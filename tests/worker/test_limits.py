"""Limits: how many jobs run at a time, and start in a second, in all workers together."""

import asyncio
import signal
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.outcomes import Snooze
from pgq_orm.queues import Queue as NamedQueue
from pgq_orm.worker import floors
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import Driver
from tests.eventually import aeventually, eventually
from tests.worker.conftest import dispose, make_engine
from tests.worker.processes import WorkerProcess, worker_process
from tests.worker.queues import Queue
from tests.worker.spans import create_spans, most_at_a_time, most_in_a_second
from tests.worker.test_concurrency import Gauge
from tests.worker.test_idling import HOUR, statements
from tests.worker.workers import idling, is_quiet, listeners, running, seconds

drain = QueueExecutionMode.drain
PICK_LIMITED = "WITH permitted AS MATERIALIZED ("


def processes(
    stack: ExitStack, queue: Queue, number: int, driver: Driver = "psycopg", others: int = 0
) -> None:
    """Workers as in production, ready; beside others that say they live."""
    for _ in range(number):
        stack.callback(WorkerProcess(queue.dsn, "limited", driver=driver).clear_away)
    eventually(lambda: len(queue.worker_ids()) == number + others, 30)


# Several processes


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_concurrency_limit_is_exact_in_all_processes_together(queue: Queue, driver: Driver) -> None:
    create_spans(queue)
    job_ids = queue.enqueue("four", [b"0.02"] * 150)
    with ExitStack() as stack:
        processes(stack, queue, 3, driver)
        eventually(lambda: len(queue.log()) == len(job_ids), 30)
    assert Counter(queue.statuses()) == {"successful": len(job_ids)}
    assert most_at_a_time(queue) == 4


def test_a_limit_holds_while_a_process_is_killed_and_until_its_jobs_are_rescued(queue: Queue) -> None:
    create_spans(queue)
    queue.enqueue("four", [b"3600"] * 2)
    with worker_process(queue, program="limited") as process:
        eventually(lambda: len(queue.scalars("SELECT 1 FROM span")) == 2)
        process.send(signal.SIGKILL)
        process.await_end()
        queue.execute("UPDATE pgq_worker SET lease_seconds = 3600")  # however long the others take
        others = queue.enqueue("four", [b"0.02"] * 40)
        with ExitStack() as stack:
            processes(stack, queue, 2, others=1)
            eventually(lambda: len(queue.log()) == len(others), 30)
            queue.execute("UPDATE pgq_worker SET heartbeat = now() - interval '1 day'")
    assert most_at_a_time(queue) == 4


@pytest.mark.parametrize("entrypoint", ["one", "one in a thread"])
def test_serialized_dispatch_is_one_at_a_time_in_all_processes_together(
    queue: Queue, entrypoint: str
) -> None:
    create_spans(queue)
    job_ids = queue.enqueue(entrypoint, [b"0.01"] * 60)
    with ExitStack() as stack:
        processes(stack, queue, 3)
        eventually(lambda: len(queue.log()) == len(job_ids), 30)
    assert Counter(queue.statuses()) == {"successful": len(job_ids)}
    assert most_at_a_time(queue) == 1


def test_a_rate_is_never_exceeded_by_four_processes_together(queue: Queue) -> None:
    create_spans(queue)
    with ExitStack() as stack:
        processes(stack, queue, 4)
        began = time.monotonic()
        job_ids = queue.enqueue("ten a second", [b"0"] * 40)
        eventually(lambda: len(queue.log()) == len(job_ids), 30)
        took = time.monotonic() - began
    assert most_in_a_second(queue.scalars("SELECT picked FROM span")) <= 11
    # a handler starts later than its token was taken, on a busy machine much later
    [longest_wait] = queue.scalars("SELECT EXTRACT(epoch FROM max(started - picked)) FROM span")
    assert most_in_a_second(queue.scalars("SELECT started FROM span")) <= 12 + 10 * float(longest_wait)
    assert 3.5 < took < 20


def test_jobs_of_one_key_run_one_after_the_other_and_those_of_others_beside_them(queue: Queue) -> None:
    create_spans(queue)
    keys = ["a", "b", "c"] * 30
    queue.enqueue("one of a key", [b"0.01"] * len(keys), concurrency_key=keys)
    with ExitStack() as stack:
        processes(stack, queue, 3)
        eventually(lambda: len(queue.log()) == len(keys), 30)
    assert [most_at_a_time(queue, key) for key in ("a", "b", "c")] == [1, 1, 1]
    assert most_at_a_time(queue) > 1


# One worker


async def test_no_more_run_than_the_limit_and_no_more_than_there_are_slots(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    all_of_them, limited = Gauge(), Gauge()

    @each_pgq.entrypoint("limited", concurrency_limit=3)
    async def work(job: Job) -> None:
        with all_of_them, limited:
            await aeventually(lambda: limited.most >= 3)
            await asyncio.sleep(0.005)

    @each_pgq.entrypoint("limited in a thread", concurrency_limit=3)
    def work_in_a_thread(job: Job) -> None:
        with all_of_them:
            eventually(lambda: all_of_them.most >= 7)
            time.sleep(0.005)

    @each_pgq.entrypoint("unlimited")
    async def work_at_will(job: Job) -> None:
        with all_of_them:
            await aeventually(lambda: all_of_them.most >= 7)
            await asyncio.sleep(0.005)

    queue.enqueue(["limited", "limited in a thread", "unlimited"] * 40)  # type: ignore[arg-type]
    await each_pgq.run(mode=drain, batch_size=10, max_concurrent_tasks=7)
    assert limited.most == 3
    assert all_of_them.most == 7
    assert Counter(queue.statuses()) == {"successful": 120}


async def test_a_canceled_job_keeps_its_place_until_its_handler_has_really_ended(
    each_pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    gauge = Gauge()
    ran: list[int] = []
    is_canceled, may_end = threading.Event(), threading.Event()

    def register(pgq: PgQueuer) -> None:
        @pgq.entrypoint("one", concurrency_limit=1)
        def work(job: Job, context: Context) -> None:
            with gauge:
                ran.append(job.id)
                if len(ran) == 1:
                    while not context.cancellation.cancel_called:
                        time.sleep(0.01)
                    is_canceled.set()
                    may_end.wait(20)

    register(each_pgq)
    register(other_pgq)
    first, second = queue.enqueue("one", [None] * 2)
    async with running(each_pgq), running(other_pgq):
        await aeventually(lambda: ran == [first])
        queue.cancel(first)
        await aeventually(is_canceled.is_set)
        await asyncio.sleep(1.5)  # longer than anybody waits for a limit that others use up
        assert ran == [first]
        may_end.set()
        await aeventually(lambda: len(queue.log()) == 2)
    assert ran == [first, second]
    assert gauge.most == 1
    assert queue.statuses() == ["canceled", "successful"]


async def test_a_limited_backlog_does_not_hold_up_other_jobs(pgq: PgQueuer, queue: Queue) -> None:
    go = asyncio.Event()

    @pgq.entrypoint("one", serialized_dispatch=True)
    async def wait(job: Job) -> None:
        await go.wait()

    pgq.entrypoint("any")(lambda job: None)
    queue.enqueue("one", [None] * 3000, priority=5)
    async with running(pgq):
        await aeventually(lambda: len(queue.scalars("SELECT 1 FROM pgq_job WHERE status = 'picked'")) == 1)
        for _ in range(5):
            before = time.monotonic()
            (job_id,) = queue.enqueue("any")
            await aeventually(partial(queue.log, job_id))
            assert time.monotonic() - before < 15  # and not at the next poll
        queue.execute("DELETE FROM pgq_job WHERE status = 'queued'")
        go.set()


async def test_a_long_backlog_of_other_jobs_does_not_hold_up_limited_ones(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint("one", serialized_dispatch=True)(lambda job: None)
    queue.enqueue("unknown", [None] * 3000, priority=5)
    job_ids = queue.enqueue("one", [None] * 20)
    async with running(pgq):
        await aeventually(lambda: len(queue.log()) == len(job_ids))


async def test_draining_waits_for_the_jobs_that_a_rate_holds_back(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work", requests_per_second=5)(lambda job: None)
    queue.enqueue("work", [None] * 4)
    started = time.monotonic()
    await each_pgq.run(mode=drain)
    assert queue.statuses() == ["successful"] * 4
    assert time.monotonic() - started > 0.55


async def test_draining_waits_for_the_jobs_that_another_worker_holds_back(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    go = asyncio.Event()

    @pgq.entrypoint("one", serialized_dispatch=True)
    async def wait(job: Job) -> None:
        await go.wait()

    other_pgq.entrypoint("one", serialized_dispatch=True)(lambda job: None)
    held, _ = queue.enqueue("one", [None] * 2)
    async with running(pgq, max_concurrent_tasks=1):
        await aeventually(lambda: queue.job(held).status == "picked")
        draining = asyncio.create_task(other_pgq.run(mode=drain))
        await aeventually(lambda: len(queue.worker_ids()) == 2)
        await asyncio.sleep(0.5)
        assert not draining.done()
        go.set()
        await asyncio.wait_for(draining, 20)
    assert queue.statuses() == ["successful"] * 2


async def test_draining_finds_what_jobs_enqueue_across_limits(each_pgq: PgQueuer, queue: Queue) -> None:
    """A look that began before a job was picked says nothing of what that job has enqueued."""

    @each_pgq.entrypoint("limited", concurrency_limit=2)
    async def limited(job: Job) -> None:
        if job.priority:
            await asyncio.to_thread(queue.enqueue, "unlimited", priority=job.priority - 1)

    @each_pgq.entrypoint("unlimited")
    async def unlimited(job: Job) -> None:
        if job.priority:
            await asyncio.to_thread(queue.enqueue, "limited", priority=job.priority - 1)

    queue.enqueue("limited", priority=30)
    await each_pgq.run(mode=drain)
    assert len(queue.log()) == 31


async def test_a_job_that_is_to_run_again_at_once_does(pgq: PgQueuer, queue: Queue) -> None:
    runs = Counter[str]()

    @pgq.entrypoint("snooze", concurrency_limit=2)
    async def snooze(job: Job) -> object:
        runs["snooze"] += 1
        return Snooze(seconds(0)) if runs["snooze"] < 3 else None

    @pgq.entrypoint("later", concurrency_limit=2)
    async def later(job: Job) -> object:
        runs["later"] += 1
        return Snooze(seconds(0.1)) if runs["later"] < 3 else None

    async with idling(pgq, queue):
        queue.enqueue(["snooze", "later"])  # type: ignore[arg-type]
        await aeventually(lambda: len(queue.log()) == 2)
    assert runs == {"snooze": 3, "later": 3}


async def test_deferred_jobs_run_at_their_time(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("one", serialized_dispatch=True)(lambda job: None)
    async with idling(pgq, queue):
        (job_id,) = queue.enqueue("one", execute_after=seconds(0.5))
        await aeventually(lambda: queue.log(job_id))
    (entry,) = queue.log(job_id)
    assert entry.started < entry.execute_after + seconds(15)


async def test_a_schedule_keeps_its_limit(pgq: PgQueuer, queue: Queue) -> None:
    """A tick that comes while the same handler runs for a job waits for it."""
    gauge = Gauge()

    async def tidy(subject: Job | Schedule) -> None:
        with gauge:
            await asyncio.sleep(1.2)

    pgq.schedule("tidy", "* * * * * *", serialized_dispatch=True)(tidy)
    queue.enqueue("tidy")
    async with running(pgq):
        await aeventually(lambda: len(queue.log()) == 3, 20)
    assert gauge.most == 1


async def test_a_limited_entrypoint_keeps_to_the_slots_of_its_queue(pgq: PgQueuer, queue: Queue) -> None:
    gauge = Gauge()

    async def work(job: Job) -> None:
        with gauge:
            await asyncio.sleep(0.02)

    pgq.entrypoint("limited", concurrency_limit=5)(work)
    pgq.entrypoint("unlimited")(work)
    pgq.queue(NamedQueue("slow", concurrency=2))
    pgq.queue(NamedQueue("fast"))
    queue.enqueue(["limited", "unlimited"] * 20, queue="slow")  # type: ignore[arg-type]
    async with running(pgq):
        await aeventually(lambda: len(queue.log()) == 40)
    assert gauge.most == 2


async def test_no_more_jobs_run_than_the_worker_may(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("limited", concurrency_limit=50)(lambda job: None)
    pgq.entrypoint("unlimited")(lambda job: None)
    queue.enqueue(["limited", "unlimited"] * 40)  # type: ignore[arg-type]
    await pgq.run(max_jobs=31)
    assert len(queue.log()) == 31


async def test_what_is_given_back_leaves_its_place_to_others_soon(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    @pgq.entrypoint("one", serialized_dispatch=True)
    async def stuck(job: Job) -> None:
        await asyncio.sleep(3600)

    other_pgq.entrypoint("one", serialized_dispatch=True)(lambda job: None)
    (job_id,) = queue.enqueue("one")
    async with running(other_pgq):
        await aeventually(lambda: queue.log(job_id))
        (held,) = queue.enqueue("one", execute_after=seconds(3600))
        async with running(pgq):
            await aeventually(lambda: listeners(queue) == 2)
            other_pgq.shutdown.set()
            await aeventually(lambda: len(queue.worker_ids()) == 1)
            queue.execute("UPDATE pgq_job SET execute_after = now() WHERE id = :id", id=held)
            await aeventually(lambda: queue.job(held).status == "picked")
            pgq.stop_now()
    other_pgq.shutdown.clear()
    await other_pgq.run(mode=drain)
    assert queue.statuses(held) == ["successful"]


# What it costs


async def test_a_worker_with_limits_asks_next_to_nothing_while_it_is_idle(
    each_pgq: PgQueuer, queue: Queue
) -> None:
    each_pgq.entrypoint("one", serialized_dispatch=True)(lambda job: None)
    each_pgq.entrypoint("slow", requests_per_second=0.1)(lambda job: None)
    async with idling(each_pgq, queue):
        with statements() as sent:
            await asyncio.sleep(2)
        assert sum(sent.values()) <= 3, sent


async def test_a_limited_backlog_that_grows_costs_a_worker_with_nothing_to_do_next_to_nothing(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its jobs wakes the worker, which must not walk over all of them each time."""
    # as if the walk took long, and asking did not, whatever this machine does
    monkeypatch.setattr(floors, "CHEAP_SECONDS", 0.0)
    monkeypatch.setattr(floors, "TRUST_SECONDS", 0.0)
    pgq.entrypoint("one", serialized_dispatch=True)(lambda job: None)
    pgq.entrypoint("any")(lambda job: None)
    queue.execute(
        """
        WITH other AS (
            INSERT INTO pgq_worker (id, lease_seconds, pid, hostname, queues, entrypoints)
            VALUES (gen_random_uuid(), 3600, 1, 'elsewhere', '{}', '{}')
            RETURNING id
        )
        INSERT INTO pgq_job (entrypoint, status, worker_id)
        SELECT 'one', CASE number WHEN 1 THEN 'picked' ELSE 'queued' END, CASE number WHEN 1 THEN other.id END
        FROM other, generate_series(1, 1000) AS number
        """
    )
    async with idling(pgq, queue):
        with statements() as sent:
            for _ in range(10):
                queue.enqueue("one")
                await asyncio.sleep(0.1)
            await aeventually(lambda: sent["SELECT EXISTS ("] >= 1)
        assert sent["WITH ready AS ("] == 0, sent
        (job_id,) = queue.enqueue("any")
        await aeventually(lambda: queue.log(job_id))
        queue.execute("DELETE FROM pgq_job WHERE status = 'queued'")


async def test_ten_workers_that_wait_for_one_limit_ask_once_a_second_each(dsn: str, queue: Queue) -> None:
    go = asyncio.Event()

    async def wait(job: Job) -> None:
        await go.wait()

    async with AsyncExitStack() as stack:
        for _ in range(10):
            engine = make_engine("psycopg", dsn)
            stack.push_async_callback(dispose, engine)
            pgq = PgQueuer(engine)
            pgq.entrypoint("two", concurrency_limit=2)(wait)
            await stack.enter_async_context(running(pgq, heartbeat_timeout=HOUR))
        await aeventually(lambda: listeners(queue) == 10)
        queue.enqueue("two", [None] * 10)
        await asyncio.sleep(3)
        with statements() as sent:
            await asyncio.sleep(3)
        assert 5 <= sent[PICK_LIMITED] <= 60, sent
        assert sum(sent.values()) - sent[PICK_LIMITED] <= 10, sent
        go.set()
        await aeventually(lambda: len(queue.log()) == 10, 20)


async def test_workers_that_wait_for_tokens_ask_little_more_than_once_a_token(dsn: str, queue: Queue) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            engine = make_engine("psycopg", dsn)
            stack.push_async_callback(dispose, engine)
            pgq = PgQueuer(engine)
            pgq.entrypoint("four a second", requests_per_second=4)(lambda job: None)
            await stack.enter_async_context(running(pgq))
        await aeventually(lambda: listeners(queue) == 5)
        queue.enqueue("four a second", [None] * 40)
        await asyncio.sleep(3)
        with statements() as sent:
            await asyncio.sleep(3)
        # a worker that comes late finds several tokens
        assert 3 <= sent[PICK_LIMITED] <= 50, sent
        queue.execute("DELETE FROM pgq_job WHERE status = 'queued'")


async def test_jobs_of_a_limit_that_is_not_used_up_do_not_make_the_worker_look_for_more(
    pgq: PgQueuer, queue: Queue
) -> None:
    @pgq.entrypoint("slow", concurrency_limit=100)
    async def slow(job: Job) -> None:
        await asyncio.sleep((job.id % 20) * 0.05)

    async with idling(pgq, queue):
        with statements() as sent:
            queue.enqueue("slow", [None] * 60)
            await aeventually(lambda: len(queue.log()) == 60)
        assert 1 <= sent[PICK_LIMITED] <= 8, sent
        await aeventually(lambda: is_quiet(queue))


@pytest.mark.parametrize("slots", [1, 4])
async def test_limited_jobs_are_not_starved_by_short_ones_that_are_picked_ahead(
    each_pgq: PgQueuer, queue: Queue, slots: int
) -> None:
    short: list[int] = []
    limited: list[int] = []
    each_pgq.entrypoint("short")(lambda job: short.append(job.id))
    each_pgq.entrypoint("limited", concurrency_limit=1)(lambda job: limited.append(job.id))
    queue.enqueue("short", [None] * 20_000)
    async with running(each_pgq, max_concurrent_tasks=slots):
        await aeventually(lambda: len(short) > 300)
        queue.enqueue("limited", [None] * 3)
        await aeventually(lambda: len(limited) == 3 or len(short) == 20_000, timeout=60)
        assert len(short) < 20_000
        queue.execute("DELETE FROM pgq_job WHERE status = 'queued'")
