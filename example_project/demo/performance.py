"""Performance: customers come, workers work, and in the end the schedule rests and the queue is empty."""

import asyncio
import time

import psycopg

from example_project.demo.customers import DECLINED_EVERY, OVER_LIMIT_EVERY, Told, play
from example_project.demo.show import Advance, Show
from example_project.demo.stage import Stage

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""How long the workers may go on after the last customer. What is missing then, the summary tells."""
BALANCES = 2

PROGRESS = """
SELECT
    (SELECT count(*) FROM shop_receipt),
    (SELECT count(*) FROM ledger_entry),
    (SELECT count(*) FROM ledger_balance),
    (SELECT count(*) FROM pgq_job WHERE schedule_id IS NULL)
"""


def perform(stage: Stage, show: Show, *, orders: int, transfers: int, clients: int) -> Told:
    """Plays the customers and waits until everything they caused is done; answers what they were told."""
    told = Told()
    accepted_orders = orders - orders // DECLINED_EVERY
    accepted_transfers = transfers - transfers // OVER_LIMIT_EVERY
    totals = {
        "orders": orders,
        "transfers": transfers,
        "receipts": accepted_orders,
        "entries": 2 * (accepted_orders + accepted_transfers),
    }

    async def play_and_watch(advance: Advance) -> None:
        playing = asyncio.create_task(play(stage, told, orders=orders, transfers=transfers, clients=clients))
        try:
            await _watch(stage, told, playing, advance)
        finally:
            playing.cancel()
            (failure,) = await asyncio.gather(playing, return_exceptions=True)
        if failure is not None:
            raise failure

    with show.progress(totals) as advance:
        asyncio.run(play_and_watch(advance))
    return told


async def _watch(stage: Stage, told: Told, playing: "asyncio.Task[None]", advance: Advance) -> None:
    """Shows how far everything is, until it is done or nobody can wait any longer."""
    deadline = float("inf")
    async with await psycopg.AsyncConnection.connect(stage.dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            # asked before the jobs are counted, so that what the last customer caused is among them
            is_played = playing.done()
            cursor = await connection.execute(PROGRESS)
            receipts, entries, balances, jobs = await cursor.fetchone() or (0, 0, 0, 0)
            advance(
                {"orders": told.orders, "transfers": told.transfers, "receipts": receipts, "entries": entries}
            )
            stage.programs.require_running()
            if is_played:
                if playing.exception() or (not jobs and balances >= BALANCES):
                    return
                deadline = min(deadline, time.monotonic() + PATIENCE_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)


def close(stage: Stage) -> dict[str, int | None]:
    """Lets the schedule rest and the last job end, then stops the workers; answers the status of each."""
    with psycopg.connect(stage.dsn, autocommit=True) as connection:
        connection.execute("UPDATE pgq_schedule SET paused = true")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while connection.execute("SELECT 1 FROM pgq_job LIMIT 1").fetchone() and time.monotonic() < deadline:
            stage.programs.require_running()
            time.sleep(LOOK_SECONDS)
    return {worker.name: worker.stop() for worker in stage.workers}
