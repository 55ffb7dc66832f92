"""Queues: what is said of them holds for every pick that comes later, and lives in the database alone."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pgq_orm import operations, queues
from pgq_orm.errors import InvalidQueueError, UnknownQueueError
from pgq_orm.operations import Operation
from pgq_orm.queues import Queue
from pgq_orm.reports import QueueState
from pgq_orm.steps import Steps, carry_out_async
from tests.conformance.bindings import Binding
from tests.conformance.tables import Tables
from tests.eventually import aeventually

ODD = 'it\'s "odd"; DROP TABLE pgq_queue -- ü💥 %s :name \\'


@pytest.fixture
def worker_id(tables: Tables) -> UUID:
    return tables.add_worker()


async def ask(binding: Binding, steps: Steps[Any]) -> Any:
    return await carry_out_async(steps, binding.run)


def pick(worker_id: UUID, queue: str = "default", batch_size: int = 100) -> Operation[Any]:
    return operations.pick(worker_id, queue, ["mail"], batch_size)


async def test_nothing_is_picked_from_a_paused_queue_until_it_is_resumed(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_job()
    assert await ask(binding, queues.pause_queue("default")) == ["default"]
    assert await binding.run(pick(worker_id)) == []
    assert await ask(binding, queues.resume_queue("default")) == ["default"]
    assert [job.id for job in await binding.run(pick(worker_id))] == [job_id]


async def test_a_pause_holds_for_its_queue_alone(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    slow, fast = tables.add_job(queue="slow"), tables.add_job(queue="fast")
    await ask(binding, queues.pause_queue("slow"))
    assert [job.id for job in await binding.run(pick(worker_id, "fast"))] == [fast]
    assert await binding.run(pick(worker_id, "slow")) == []
    assert tables.job(slow).status == "queued"


async def test_a_pause_ends_by_the_databases_clock_and_nobody_has_to_live_for_it(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_job()
    await ask(binding, queues.pause_queue("default", resume_at=timedelta(hours=1)))
    assert await binding.run(pick(worker_id)) == []
    (paused,) = await ask(binding, queues.fetch_queues())
    assert paused.paused
    assert paused.resume_at - paused.clock > timedelta(minutes=59)

    tables.execute("UPDATE pgq_queue SET resume_at = now() - interval '1 millisecond'")

    (over,) = await ask(binding, queues.fetch_queues())
    assert (over.paused, over.resume_at) == (False, None)
    assert await ask(binding, queues.resume_queue("default")) == []
    assert len(await binding.run(pick(worker_id))) == 1


async def test_another_pause_takes_the_place_of_the_first(binding: Binding, tables: Tables) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    await ask(binding, queues.pause_queue("default", resume_at=timedelta(hours=1)))
    await ask(binding, queues.pause_queue("default", resume_at=at))
    (state,) = await ask(binding, queues.fetch_queues())
    assert (state.paused, state.resume_at) == (True, at)
    await ask(binding, queues.pause_queue("default"))
    (state,) = await ask(binding, queues.fetch_queues())
    assert (state.paused, state.resume_at) == (True, None)


@pytest.mark.parametrize("instant", ["infinity", "-infinity", "1899-12-31 00:00Z", "9001-01-01 00:00Z"])
async def test_an_end_of_a_pause_that_workers_could_not_read_is_not_stored(
    tables: Tables, instant: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="pgq_queue_resume_at_years_check"):
        tables.execute("INSERT INTO pgq_queue (name, paused, resume_at) VALUES ('mail', true, %s)", instant)
    tables.execute("INSERT INTO pgq_queue (name, paused) VALUES ('mail', true)")  # for good


async def test_a_declared_queue_begins_with_what_the_code_says(binding: Binding, tables: Tables) -> None:
    declared = Queue("mail", concurrency=4, rate_limit=100, rate_limit_window=60)
    assert await ask(binding, queues.declare_queue(declared)) == ["mail"]
    (state,) = await ask(binding, queues.fetch_queues("mail"))
    assert state == QueueState("mail", 4, 100, timedelta(minutes=1), False, None, state.clock)


async def test_what_was_said_at_run_time_is_not_overwritten_by_the_code(
    binding: Binding, tables: Tables
) -> None:
    await ask(binding, queues.declare_queue([Queue("mail", concurrency=4), Queue("slow")]))
    await ask(binding, queues.update_queue("mail", concurrency=9))
    await ask(binding, queues.pause_queue("mail"))
    declared = [Queue("mail", concurrency=5), Queue("slow", rate_limit=1), Queue("new")]
    assert await ask(binding, queues.declare_queue(declared)) == ["new"]
    mail, _, slow = await ask(binding, queues.fetch_queues())
    assert (mail.concurrency, mail.paused, slow.rate_limit) == (9, True, None)

    assert await ask(binding, queues.declare_queue(declared, upsert=True)) == ["mail", "new", "slow"]

    mail, _, slow = await ask(binding, queues.fetch_queues())
    assert (mail.concurrency, mail.paused, slow.rate_limit) == (5, True, 1)


async def test_an_update_changes_what_it_names_and_nothing_else(binding: Binding, tables: Tables) -> None:
    await ask(binding, queues.declare_queue(Queue("mail", concurrency=4, rate_limit=10, rate_limit_window=2)))
    for change, expected in [
        ({"concurrency": None}, (None, 10, timedelta(seconds=2))),
        ({"rate_limit": 20}, (None, 20, timedelta(seconds=2))),
        ({"rate_limit_window": timedelta(minutes=1)}, (None, 20, timedelta(minutes=1))),
        ({"rate_limit": None, "concurrency": 1}, (1, None, timedelta(minutes=1))),
        ({}, (1, None, timedelta(minutes=1))),
    ]:
        changing: Any = change
        assert await ask(binding, queues.update_queue("mail", **changing)) == ["mail"]
        (state,) = await ask(binding, queues.fetch_queues())
        assert (state.concurrency, state.rate_limit, state.rate_limit_window) == expected


async def test_a_queue_without_a_row_cannot_be_updated(binding: Binding, tables: Tables) -> None:
    await ask(binding, queues.declare_queue(Queue("mail")))
    with pytest.raises(UnknownQueueError, match="did you mean 'mail'"):
        await ask(binding, queues.update_queue(["mail", "mial"], concurrency=1))
    (state,) = await ask(binding, queues.fetch_queues())
    assert state.concurrency is None


async def test_a_deleted_queue_is_like_one_that_was_never_declared(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_job()
    await ask(binding, queues.pause_queue("default"))
    assert await ask(binding, queues.delete_queue(["default", "unknown"])) == ["default"]
    assert len(await binding.run(pick(worker_id))) == 1


async def test_a_queue_may_be_named_oddly(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    tables.add_job(queue=ODD)
    await ask(binding, queues.declare_queue(Queue(ODD, concurrency=1)))
    assert await ask(binding, queues.pause_queue(ODD)) == [ODD]
    assert await binding.run(pick(worker_id, ODD)) == []
    assert await ask(binding, queues.resume_queue(ODD)) == [ODD]
    assert len(await binding.run(pick(worker_id, ODD))) == 1


async def test_a_thousand_queues_are_paused_at_once(binding: Binding, tables: Tables) -> None:
    names = [f"tenant-{number:04}" for number in range(1000)]
    assert await ask(binding, queues.declare_queue([Queue(name, concurrency=2) for name in names])) == names
    assert await ask(binding, queues.pause_queue(names)) == names
    assert all(state.paused for state in await ask(binding, queues.fetch_queues()))
    assert await ask(binding, queues.resume_queue(names)) == names


async def test_no_pick_that_begins_after_a_pause_finds_a_job(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    """Pickers race with somebody who pauses and resumes; a queue never runs dry."""
    for _ in range(2000):
        tables.add_job()
    found: list[tuple[float, float, int]] = []  # when a pick began and ended, and what it gave
    pauses: list[tuple[float, float]] = []  # from the pause's commit until just before the resumption
    is_over = False

    async def keep_picking() -> None:
        while not is_over:
            began = time.monotonic()
            jobs = await binding.run(pick(worker_id, batch_size=1))
            found.append((began, time.monotonic(), len(jobs)))

    def has_somebody_looked(since: float) -> bool:
        return any(began > since for began, _, _ in found)

    pickers = [asyncio.create_task(keep_picking()) for _ in range(3)]
    await aeventually(lambda: any(count for _, _, count in found))
    for _ in range(10):
        await ask(binding, queues.pause_queue("default"))
        committed = time.monotonic()
        for _ in range(5):
            assert await binding.run(pick(worker_id)) == []
        await aeventually(partial(has_somebody_looked, committed))
        pauses.append((committed, time.monotonic()))
        await ask(binding, queues.resume_queue("default"))
        await binding.run(pick(worker_id, batch_size=1))
    is_over = True
    await asyncio.gather(*pickers)

    during = [
        count
        for began, ended, count in found
        if any(since < began and ended < until for since, until in pauses)
    ]
    assert during
    assert not sum(during)
    assert sum(count for _, _, count in found)


async def test_a_pause_that_is_rolled_back_was_none(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    tables.add_job()
    rival.execute("INSERT INTO pgq_queue (name, paused) VALUES ('default', true)")
    # a worker that starts meanwhile declares its queues, and does not wait
    assert await ask(binding, queues.declare_queue([Queue("other")])) == ["other"]
    assert len(await binding.run(pick(worker_id))) == 1
    rival.rollback()
    assert [state.name for state in await ask(binding, queues.fetch_queues())] == ["other"]


async def test_a_worker_that_starts_does_not_wait_for_somebody_who_changes_its_queue(
    binding: Binding, tables: Tables, rival: psycopg.Connection
) -> None:
    await ask(binding, queues.declare_queue(Queue("mail")))
    rival.execute("UPDATE pgq_queue SET paused = true")
    assert await ask(binding, queues.declare_queue(Queue("mail"))) == []


async def test_tokens_are_given_as_the_rate_allows_whoever_asks(binding: Binding, tables: Tables) -> None:
    await ask(binding, queues.declare_queue(Queue("mail", rate_limit=100, rate_limit_window=10_000)))
    grants = await asyncio.gather(*(binding.run(queues.take_tokens("mail", 2)) for _ in range(6)))
    # one, and one in twenty of those beyond the first
    assert sum(grant.tokens for grant in grants) == 5
    (throttled,) = {grant.wait_seconds for grant in [await binding.run(queues.take_tokens("mail", 2))]}
    assert 0 < throttled < 10_000 / 95

    await binding.run(queues.take_tokens("mail", -3))
    assert (await binding.run(queues.take_tokens("mail", 100))).tokens == 3


async def test_a_token_comes_back_in_its_time(binding: Binding, tables: Tables) -> None:
    await ask(binding, queues.declare_queue(Queue("mail", rate_limit=1, rate_limit_window=3600)))
    assert (await binding.run(queues.take_tokens("mail", 1))).tokens == 1
    tables.execute("UPDATE pgq_bucket SET empty_at = now() - interval '59 minutes'")
    nearly = await binding.run(queues.take_tokens("mail", 1))
    assert nearly.tokens == 0
    assert 0 < nearly.wait_seconds < 60
    tables.execute("UPDATE pgq_bucket SET empty_at = now() - interval '1 year'")
    assert (await binding.run(queues.take_tokens("mail", 10))).tokens == 1


async def test_a_queue_without_a_rate_limit_has_as_many_as_are_wanted(
    binding: Binding, tables: Tables
) -> None:
    await ask(binding, queues.declare_queue(Queue("mail")))
    for name in ("mail", "unknown"):
        assert (await binding.run(queues.take_tokens(name, 1000))).tokens == 1000
    assert tables.ask("SELECT count(*) FROM pgq_bucket") == 0


BAD: list[tuple[str, Any]] = [
    ("queue must be a string", lambda: Queue(7)),  # type: ignore[arg-type]
    ("queue must have 1 to 500 characters", lambda: Queue("")),
    ("queue must have 1 to 500 characters", lambda: Queue("x" * 501)),
    ("NUL", lambda: Queue("a\0b")),
    ("lone surrogate", lambda: Queue("\ud800")),
    ("concurrency must be a positive integer", lambda: Queue("q", concurrency=0)),
    ("concurrency must be a positive integer", lambda: Queue("q", concurrency=True)),
    ("concurrency must be a positive integer", lambda: Queue("q", concurrency=2.5)),  # type: ignore[arg-type]
    ("rate_limit must be a positive integer", lambda: Queue("q", rate_limit=2**31)),
    ("rate_limit_window must be", lambda: Queue("q", rate_limit_window=0)),
    ("rate_limit_window must be", lambda: Queue("q", rate_limit_window=float("nan"))),
    ("rate_limit_window must be", lambda: Queue("q", rate_limit_window="soon")),  # type: ignore[arg-type]
    ("executor of queue 'q' must be", lambda: Queue("q", executor="MyExecutor")),  # type: ignore[arg-type]
    ("expected a Queue", lambda: next(queues.declare_queue(["mail"]))),  # type: ignore[list-item]
    ("queue must have", lambda: next(queues.pause_queue(""))),
    ("queue must be a string", lambda: next(queues.pause_queue(["mail", None]))),  # type: ignore[list-item]
    ("naive datetime", lambda: next(queues.pause_queue("q", resume_at=datetime(2100, 1, 1)))),  # noqa: DTZ001
    ("resume_at must be", lambda: next(queues.pause_queue("q", resume_at=5))),  # type: ignore[arg-type]
    ("more than a hundred years", lambda: next(queues.pause_queue("q", resume_at=timedelta.max))),
    ("concurrency must be", lambda: next(queues.update_queue("q", concurrency=-1))),
    ("at most 10000 queues", lambda: next(queues.resume_queue(map(str, range(10_001))))),
]


@pytest.mark.parametrize(("complaint", "say"), BAD)
def test_what_cannot_be_said_of_a_queue_is_refused_before_it_is_sent(complaint: str, say: Any) -> None:
    with pytest.raises(InvalidQueueError, match=complaint):
        say()


@pytest.mark.parametrize(
    "columns",
    ["concurrency = 0", "rate_limit = -1", "rate_limit_window = '0'", "name = ''", "resume_at = now()"],
)
def test_nor_does_the_database_take_it(tables: Tables, columns: str) -> None:
    tables.execute("INSERT INTO pgq_queue (name) VALUES ('mail')")
    with pytest.raises(psycopg.errors.CheckViolation):
        tables.execute(f"UPDATE pgq_queue SET {columns}")
