"""Idling: what a worker that has nothing to do, or no room to do it in, asks of the database."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from unittest import mock

from pgq_orm import PgQueuer
from pgq_orm.bookkeeping import Bookkeeping
from pgq_orm.models import Job
from pgq_orm.operations import Operation
from pgq_orm.sql import statement
from tests.eventually import aeventually
from tests.worker.conftest import dispose, make_engine
from tests.worker.queues import Queue
from tests.worker.workers import idling, is_quiet, listeners, listens, running, seconds

HOUR = seconds(3600)
"""A heartbeat_timeout with which no heartbeat is sent in a test's time."""


@contextmanager
def statements() -> Iterator[Counter[str]]:
    """How often workers send each statement for themselves, by its first line."""
    sent: Counter[str] = Counter()
    lock = threading.Lock()
    run = Bookkeeping.run

    async def note_and_run(self: Bookkeeping, operation: Operation[Any]) -> Any:
        with lock:
            sent[operation.statement.text.splitlines()[0]] += 1
        return await run(self, operation)

    with mock.patch.object(Bookkeeping, "run", note_and_run):
        yield sent


async def test_an_idle_worker_asks_next_to_nothing(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    async with idling(each_pgq, queue):
        with statements() as sent:
            await asyncio.sleep(2)
        assert sum(sent.values()) <= 3, sent


async def test_a_saturated_worker_asks_nothing(pgq: PgQueuer, queue: Queue) -> None:
    """Neither its poll nor a wake-up is a reason to ask while no slot is free."""
    held: list[int] = []
    release = asyncio.Event()

    @pgq.entrypoint("hold")
    async def hold(job: Job) -> None:
        held.append(job.id)
        await release.wait()

    queue.enqueue("hold", [None] * 5)
    async with running(pgq, max_concurrent_tasks=2, dequeue_timeout=seconds(0.1), heartbeat_timeout=HOUR):
        await aeventually(lambda: len(held) == 2)
        await aeventually(lambda: listens(queue) and is_quiet(queue))
        with statements() as sent:
            for _ in range(10):
                queue.enqueue("hold")
                await asyncio.sleep(0.1)
        assert sent == {}
        release.set()


async def test_one_job_wakes_ten_workers_into_few_statements(dsn: str, queue: Queue) -> None:
    """Each looks once when it is woken and once when the wake-up's echo is over; the one that found it goes on."""
    async with AsyncExitStack() as stack:
        for _ in range(10):
            engine = make_engine("psycopg", dsn)
            stack.push_async_callback(dispose, engine)
            pgq = PgQueuer(engine)
            pgq.entrypoint("work")(lambda job: None)
            await stack.enter_async_context(running(pgq, heartbeat_timeout=HOUR))
        await aeventually(lambda: listeners(queue) == 10)
        await aeventually(lambda: is_quiet(queue))
        with statements() as sent:
            queue.enqueue("work")
            await aeventually(lambda: queue.log() and sum(sent.values()) > 20)
            await asyncio.sleep(1)
        assert sum(sent.values()) <= 75, sent


async def test_jobs_that_end_do_not_make_the_worker_look_for_more(pgq: PgQueuer, queue: Queue) -> None:
    """With slots to spare, looking again is up to wake-ups and polls."""
    pgq.entrypoint("work")(lambda job: None)

    @pgq.entrypoint("slow")
    async def slow(job: Job) -> None:
        await asyncio.sleep((job.id % 20) * 0.05)

    async with idling(pgq, queue):
        with statements() as sent:
            queue.enqueue("slow", [None] * 60)
            await aeventually(lambda: len(queue.log()) == 60)
        assert 1 <= sent["WITH ready AS ("] <= 8, sent  # the picks


async def test_a_job_starts_before_the_worker_asks_anything_else(pgq: PgQueuer, queue: Queue) -> None:
    sent_before: list[Counter[str]] = []
    promote = statement("promote").text.splitlines()[0]

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        sent_before.append(sent.copy())

    async with idling(pgq, queue):
        with statements() as sent:
            queue.enqueue("work")
            await aeventually(lambda: queue.log() and promote in sent)
    assert [promote in before for before in sent_before] == [False]


async def test_heartbeats_change_nothing_that_is_indexed(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    async with running(pgq, heartbeat_timeout=seconds(1)):
        await aeventually(
            lambda: queue.scalars(
                "SELECT 1 FROM pg_stat_user_tables WHERE relname = 'pgq_worker' AND n_tup_upd >= 5"
            )
        )
        [(updates, hot_updates)] = queue.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'pgq_worker'"
        )
        assert updates == hot_updates


async def test_a_worker_does_not_look_into_a_queue_that_is_paused(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    queue.execute("INSERT INTO pgq_queue (name, paused) VALUES ('default', true)")
    with statements() as sent:
        async with idling(pgq, queue):
            queue.enqueue("work")
            await aeventually(lambda: is_quiet(queue))
    assert "WITH ready AS (" not in sent, sent


async def test_a_thousand_empty_queues_cost_an_idle_worker_few_statements(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    names = [f"tenant {number}" for number in range(1000)]
    async with idling(pgq, queue, queues=names):
        with statements() as sent:
            [job_id] = queue.enqueue("work", queue="tenant 500")
            await aeventually(lambda: queue.statuses(job_id) == ["successful"])
            await aeventually(lambda: is_quiet(queue))
    assert sum(sent.values()) <= 40, sent
