"""Named queues: what is said of them in the database is what running workers do."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import InvalidQueueError, RegistrationError
from pgq_orm.executors import ProcessExecutor
from pgq_orm.models import Job
from pgq_orm.queues import Queue as NamedQueue
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.spans import most_in_a_second
from tests.worker.workers import Deaf, idling, is_quiet, running, seconds

ODD = 'it\'s "odd" -- ü💥 %s :name \\'
NEVER = timedelta(hours=1)


def ask(queue: Queue, method: str, *arguments: Any, **options: Any) -> Any:
    with queue.engine.begin() as connection:
        return getattr(SyncQueries(connection), method)(*arguments, **options)


class Gauge:
    """A handler that counts how many of its kind run at a time, by queue, until it is let go."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.go = asyncio.Event()

    async def __call__(self, job: Job) -> None:
        self.running[job.queue] += 1
        self.most[job.queue] = max(self.most[job.queue], self.running[job.queue])
        await self.go.wait()
        self.running[job.queue] -= 1


async def test_each_queue_has_its_own_slots(each_pgq: PgQueuer, queue: Queue) -> None:
    gauge = Gauge()
    each_pgq.entrypoint("work")(gauge)
    each_pgq.queue(NamedQueue("slow", concurrency=2))
    each_pgq.queue(NamedQueue("fast"))
    queue.enqueue("work", [None] * 30, queue=["slow"] * 20 + ["fast"] * 10)
    async with running(each_pgq, max_concurrent_tasks=9, batch_size=3):
        await aeventually(lambda: gauge.running == {"slow": 2, "fast": 7})
        gauge.go.set()
        await aeventually(lambda: len(queue.log()) == 30)
    assert gauge.most["slow"] == 2


async def test_a_queue_that_is_full_is_picked_from_again_as_soon_as_one_of_its_jobs_ends(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    pgq.queue(NamedQueue("slow", concurrency=1))
    async with idling(pgq, queue, dequeue_timeout=NEVER):
        queue.enqueue("work", [None] * 50, queue="slow")
        await aeventually(lambda: len(queue.log()) == 50)


async def test_a_worker_waits_for_a_full_queue_without_asking(pgq: PgQueuer, queue: Queue) -> None:
    gauge = Gauge()
    pgq.entrypoint("work")(gauge)
    pgq.queue(NamedQueue("slow", concurrency=1))
    queue.enqueue("work", [None] * 5, queue="slow")
    async with running(pgq, dequeue_timeout=NEVER):
        await aeventually(lambda: gauge.running["slow"] == 1 and is_quiet(queue, 1.0))
        gauge.go.set()


async def test_running_workers_follow_a_change_of_concurrency(pgq: PgQueuer, queue: Queue) -> None:
    gauge = Gauge()
    pgq.entrypoint("work")(gauge)
    pgq.queue(NamedQueue("slow", concurrency=1))
    queue.enqueue("work", [None] * 10, queue="slow")
    async with running(pgq, dequeue_timeout=NEVER):
        await aeventually(lambda: gauge.running["slow"] == 1)
        ask(queue, "update_queue", "slow", concurrency=3)
        await aeventually(lambda: gauge.running["slow"] == 3)
        ask(queue, "update_queue", "slow", concurrency=None)
        await aeventually(lambda: gauge.running["slow"] == 10)
        gauge.go.set()


async def test_what_was_changed_at_run_time_outlives_the_worker_that_declared_it(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    gauge = Gauge()
    gauge.go.set()
    for each in (pgq, other_pgq):
        each.entrypoint("work")(gauge)
        each.queue(NamedQueue("slow", concurrency=1))
    await pgq.run(mode=QueueExecutionMode.drain)
    ask(queue, "update_queue", "slow", concurrency=2)
    await other_pgq.run(mode=QueueExecutionMode.drain)
    assert [state.concurrency for state in ask(queue, "fetch_queues")] == [2]


async def test_a_paused_queue_rests_until_it_is_resumed(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    async with idling(each_pgq, queue, dequeue_timeout=NEVER):
        ask(queue, "pause_queue", "default")
        queue.enqueue("work", [None] * 3)
        await aeventually(lambda: is_quiet(queue))
        assert len(queue.jobs()) == 3
        ask(queue, "resume_queue", "default")
        await aeventually(lambda: len(queue.log()) == 3)


async def test_what_runs_when_its_queue_is_paused_goes_on(pgq: PgQueuer, queue: Queue) -> None:
    gauge = Gauge()
    pgq.entrypoint("work")(gauge)
    [job_id] = queue.enqueue("work")
    async with running(pgq):
        await aeventually(lambda: gauge.running["default"])
        ask(queue, "pause_queue", "default")
        gauge.go.set()
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])


async def test_a_pause_that_ends_by_itself_is_noticed_when_it_ends(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    [job_id] = queue.enqueue("work")
    ask(queue, "pause_queue", "default", resume_at=seconds(1))
    async with running(pgq, dequeue_timeout=NEVER):
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
    [(started, resume_at)] = queue.execute(
        "SELECT started + interval '5 milliseconds', resume_at FROM pgq_log, pgq_queue"
    )
    assert started >= resume_at


async def test_a_pause_that_ended_while_nobody_lived_is_over_for_the_next_worker(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    [job_id] = queue.enqueue("work")
    ask(queue, "pause_queue", "default", resume_at=seconds(-1))
    await pgq.run(mode=QueueExecutionMode.drain)
    assert queue.statuses(job_id) == ["successful"]


async def test_a_worker_that_drains_leaves_a_paused_queue_alone(each_pgq: PgQueuer, queue: Queue) -> None:
    each_pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work", [None] * 2, queue=["slow", "fast"])
    ask(queue, "pause_queue", "slow")
    await asyncio.wait_for(each_pgq.run(mode=QueueExecutionMode.drain, queues=("slow", "fast")), 20)
    assert [job.queue for job in queue.jobs()] == ["slow"]


async def test_a_deaf_worker_finds_out_about_a_pause_and_its_end(
    pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    store = pgq.store.sibling()
    store.listener = Deaf()  # type: ignore[misc]
    monkeypatch.setattr(pgq.store, "sibling", lambda: store)
    ask(queue, "pause_queue", "default")
    [job_id] = queue.enqueue("work")
    async with running(pgq, heartbeat_timeout=seconds(3), dequeue_timeout=NEVER):
        await aeventually(lambda: queue.worker_ids() and is_quiet(queue))
        ask(queue, "resume_queue", "default")
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])


@pytest.mark.parametrize("limits", [{}, {"concurrency_limit": 50}], ids=["free", "limited"])
async def test_no_more_jobs_start_than_the_rate_of_their_queue_allows(
    each_pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue, limits: dict[str, Any]
) -> None:
    picked: list[datetime] = []

    async def work(job: Job) -> None:
        if job.queue == "mail":
            picked.append(job.updated)

    for pgq in (each_pgq, other_pgq):
        pgq.entrypoint("work", **limits)(work)
        pgq.queue(NamedQueue("mail", rate_limit=10))
    queue.enqueue("work", [None] * 45, queue=["mail"] * 25 + ["default"] * 20)
    async with running(each_pgq), running(other_pgq):
        await aeventually(lambda: len(queue.log()) == 45)
    # picked after the token was taken: a little, or 0.3 s on a busy machine
    assert most_in_a_second(picked) <= 10 + 1 + 3
    assert max(picked) - min(picked) > seconds(1)


async def test_a_rate_that_is_changed_while_jobs_wait_for_it_holds_at_once(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint("work")(lambda job: None)
    pgq.queue(NamedQueue("mail", rate_limit=1, rate_limit_window=timedelta(hours=1)))
    queue.enqueue("work", [None] * 20, queue="mail")
    async with running(pgq, dequeue_timeout=NEVER):
        await aeventually(lambda: len(queue.log()) == 1 and is_quiet(queue))
        assert len(queue.jobs()) == 19
        ask(queue, "update_queue", "mail", rate_limit=None)
        await aeventually(lambda: len(queue.log()) == 20)


async def test_a_worker_that_drains_waits_for_the_rate_of_its_queue(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    pgq.queue(NamedQueue("mail", rate_limit=10))
    queue.enqueue("work", [None] * 5, queue="mail")
    await asyncio.wait_for(pgq.run(mode=QueueExecutionMode.drain), 20)
    assert queue.statuses() == ["successful"] * 5


async def test_an_idle_queue_with_a_rate_costs_no_more_than_another(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    pgq.queue(NamedQueue("mail", rate_limit=10))
    async with idling(pgq, queue, dequeue_timeout=NEVER):
        [job_id] = queue.enqueue("work", queue="mail")
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
        await aeventually(lambda: is_quiet(queue, 1.0), timeout=20)


async def test_one_queue_may_be_named_without_a_list(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work", [None] * 2, queue=["mail", "m"])
    await asyncio.wait_for(pgq.run(mode=QueueExecutionMode.drain, queues="mail"), 20)
    assert [job.queue for job in queue.jobs()] == ["m"]


def test_one_queue_may_be_declared_without_a_list(queue: Queue) -> None:
    pgq = PgQueuer(queue.engine, queues=NamedQueue("mail"))
    assert pgq.registry.queues_to_serve() == ("default", "mail")
    with pytest.raises(RegistrationError, match="expected a Queue, not 'mail'"):
        PgQueuer(queue.engine, queues="mail")  # type: ignore[arg-type]
    with pytest.raises(InvalidQueueError, match="expected a Queue, not 'mail'"):
        ask(queue, "declare_queue", "mail")


async def test_two_workers_serve_different_queues(pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue) -> None:
    served: dict[str, set[str]] = {"one": set(), "other": set()}
    pgq.entrypoint("work")(lambda job: served["one"].add(job.queue))
    other_pgq.entrypoint("work")(lambda job: served["other"].add(job.queue))
    queue.enqueue("work", [None] * 30, queue=["a", "b", "c"] * 10)
    async with running(pgq, queues=("a",)), running(other_pgq, queues=["b", ODD]):
        await aeventually(lambda: len(queue.log()) == 20)
    assert served == {"one": {"a"}, "other": {"b"}}
    assert {job.queue for job in queue.jobs()} == {"c"}


async def test_a_worker_serves_what_is_declared_beside_the_default_queue(dsn: str, queue: Queue) -> None:
    pgq = PgQueuer(queue.engine, queues=[NamedQueue("mail"), NamedQueue(ODD)])
    pgq.entrypoint("work")(lambda job: None)
    queue.enqueue("work", [None] * 4, queue=["mail", ODD, "default", "elsewhere"])
    await pgq.run(mode=QueueExecutionMode.drain)
    assert [job.queue for job in queue.jobs()] == ["elsewhere"]


async def test_one_worker_serves_a_thousand_queues(pgq: PgQueuer, queue: Queue) -> None:
    names = [f"tenant-{number:04}" for number in range(1000)]
    pgq.entrypoint("work")(lambda job: None)
    for name in names:
        pgq.queue(NamedQueue(name, concurrency=1))
    queue.enqueue("work", [None] * 2000, queue=names * 2)
    ask(queue, "pause_queue", names[:10])
    await asyncio.wait_for(pgq.run(mode=QueueExecutionMode.drain), 50)
    assert Counter(job.queue for job in queue.jobs()) == dict.fromkeys(names[:10], 2)
    assert queue.statuses() == ["successful"] * 1980


def test_a_queue_is_declared_once(pgq: PgQueuer) -> None:
    pgq.queue(NamedQueue("mail", concurrency=1))
    pgq.queue(NamedQueue("mail", concurrency=1))  # by a module that is imported twice
    with pytest.raises(
        RegistrationError,
        match=r"queue 'mail' is declared twice: in tests.worker.test_queues, line \d+ as .*concurrency=1.*, and in "
        r"tests.worker.test_queues, line \d+ as .*concurrency=2",
    ):
        pgq.queue(NamedQueue("mail", concurrency=2))
    with pytest.raises(RegistrationError, match="queue 'mail' is declared twice"):
        pgq.queue(NamedQueue("mail", concurrency=1, executor=ProcessExecutor))
    with pytest.raises(RegistrationError, match="expected a Queue, not 'mail'"):
        pgq.queue("mail")  # type: ignore[arg-type]
