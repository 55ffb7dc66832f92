"""Program: a worker in a process of its own, to be killed: `python -m tests.transactional.program DESK DSN STEP`."""

import asyncio
import os
import signal
import sys
from datetime import timedelta

from django.test import override_settings

from pgq_orm.models import Job
from pgq_orm.retries import Backoff
from tests.transactional.desks import DESKS, Desk, Hand
from tests.transactional.ledgers import AFTER, BEFORE, BETWEEN, pass_door

COMMITTED = "committed"
"""The step between the answer to the COMMIT and whatever the worker makes of it."""
HEARTBEAT_TIMEOUT = timedelta(seconds=1.5)


def register(desk: Desk, step: str = "") -> None:
    """The handlers: a posting of two sides that has a receipt sent, and the receipt."""

    async def post(job: Job, hand: Hand) -> None:
        await hand.execute(pass_door(BEFORE))
        await hand.write(job, "credit")
        await hand.execute(pass_door(BETWEEN))
        await hand.write(job, "debit")
        await hand.enqueue("receipt")
        await hand.execute(pass_door(AFTER))
        if step == COMMITTED:
            await hand.after_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))

    async def receipt(job: Job, hand: Hand) -> None:
        await hand.execute(f"INSERT INTO receipt VALUES ({job.id})")

    desk.handle("post", post, max_attempts=5, backoff=Backoff(timedelta(0), timedelta(0)))
    desk.handle("receipt", receipt)


async def main(name: str, dsn: str, step: str) -> None:
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        desk = DESKS[name](dsn)
        register(desk, step)
        await desk.pgq.run(heartbeat_timeout=HEARTBEAT_TIMEOUT)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
