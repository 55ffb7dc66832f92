"""Limits: how many jobs may be picked, among all who pick, and why no more were."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.limits import Limit
from pgq_orm.operations.endings import Outcome
from pgq_orm.operations.limited_picks import Hold, LimitedPick, Verdict
from pgq_orm.store import Store
from tests.conformance.bindings import STORES, Binding, OnStore
from tests.conformance.tables import Tables, ago

ONE = {"mail": Limit(concurrency=1)}
OPEN, EMPTY, FULL = Hold(Verdict.OPEN), Hold(Verdict.EMPTY), Hold(Verdict.FULL)


@pytest.fixture
def worker_id(tables: Tables) -> UUID:
    return tables.add_worker()


async def look(
    binding: Binding,
    worker_id: UUID,
    limits: Mapping[str, Limit],
    room: int = 100,
    queues: tuple[str, ...] = ("default",),
) -> LimitedPick:
    return await binding.run(operations.pick_limited(worker_id, queues, limits, room))


async def picked_ids(*arguments: Any, **options: Any) -> list[int]:
    return [job.id for job in (await look(*arguments, **options)).jobs]


async def end(binding: Binding, *jobs: Any) -> None:
    await binding.run(operations.finish([Outcome(job.id, job.lease, "successful", 0.0, 0.0) for job in jobs]))


async def test_a_job_is_all_that_an_unlimited_one_would_be(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    columns: dict[str, Any] = {
        "payload": b"\x00bytes",
        "arguments": {"to": ["zoë", 1.5, None]},
        "headers": {"trace": "1"},
        "priority": 3,
        "max_attempts": 4,
        "attempts": 2,
        "lease": 7,
        "concurrency_key": "zoë",
    }
    tables.add_job(**columns)
    (limited,) = (await look(binding, worker_id, ONE)).jobs
    await end(binding, limited)
    tables.add_job(**columns)
    (unlimited,) = await binding.run(operations.pick(worker_id, "default", ["mail"], 1))
    differing = {"id", "created", "updated", "execute_after"}
    assert {name: getattr(limited, name) for name in limited.__slots__ if name not in differing} == {
        name: getattr(unlimited, name) for name in unlimited.__slots__ if name not in differing
    }
    assert limited.concurrency_key == "zoë"


async def test_without_jobs_there_is_nothing_to_hold_back(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_job(entrypoint="letter")
    tables.add_job(queue="elsewhere")
    tables.add_job(status="waiting")
    tables.add_job(execute_after=ago(hours=-1))
    assert await look(binding, worker_id, ONE) == LimitedPick([], {"mail": EMPTY})


async def test_no_more_run_than_the_limit_and_the_first_ones_first(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    low, high, middle = (tables.add_job(priority=priority) for priority in (1, 3, 2))
    two = {"mail": Limit(concurrency=2)}
    jobs, holds = await look(binding, worker_id, two)
    assert [job.id for job in jobs] == [high, middle]
    assert holds == {"mail": FULL}
    assert await look(binding, tables.add_worker(), two) == LimitedPick([], {"mail": FULL})
    await end(binding, jobs[0])
    jobs, holds = await look(binding, worker_id, two)
    assert [job.id for job in jobs] == [low]
    assert holds == {"mail": EMPTY}


async def test_what_one_worker_has_no_room_for_is_open_to_others(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    for _ in range(3):
        tables.add_job()
    assert (await look(binding, worker_id, {"mail": Limit(concurrency=5)}, room=2)).holds == {"mail": OPEN}
    assert len(await picked_ids(binding, worker_id, {"mail": Limit(concurrency=5)})) == 1


async def test_a_job_counts_until_it_has_really_ended(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    """One that was asked to stop goes on until its handler ends; one of a dead worker until it is rescued."""
    tables.add_picked_job(worker_id, cancel_requested=ago(minutes=1))
    tables.add_picked_job(tables.add_dead_worker())
    tables.add_picked_job(None)
    tables.add_job()
    assert (await look(binding, worker_id, {"mail": Limit(concurrency=3)})).holds == {"mail": FULL}
    await binding.run(operations.rescue(crash_limit=5, batch_size=10))
    assert len(await picked_ids(binding, worker_id, {"mail": Limit(concurrency=3)})) == 2


async def test_each_limit_is_its_entrypoints_own(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    for name in ("mail", "letter", "mail", "letter", "parcel"):
        tables.add_job(entrypoint=name)
    limits = {"mail": Limit(concurrency=1), "letter": Limit(concurrency=2), "telegram": Limit(concurrency=1)}
    jobs, holds = await look(binding, worker_id, limits)
    assert Counter(job.entrypoint for job in jobs) == {"mail": 1, "letter": 2}
    assert holds == {"mail": FULL, "letter": EMPTY, "telegram": EMPTY}


async def test_a_limit_holds_for_all_queues_together(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    first, second = tables.add_job(queue="slow"), tables.add_job(queue="fast")
    two = {"mail": Limit(concurrency=2)}
    assert await picked_ids(binding, worker_id, ONE, queues=("fast", "slow")) == [second]
    assert await picked_ids(binding, worker_id, ONE, queues=("slow",)) == []
    assert await picked_ids(binding, worker_id, two, queues=("fast", "slow")) == [first]


async def test_a_paused_queue_gives_none(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    tables.add_job()
    tables.execute("INSERT INTO pgq_queue (name, paused) VALUES ('default', true)")
    assert await look(binding, worker_id, ONE) == LimitedPick([], {"mail": EMPTY})
    tables.execute("UPDATE pgq_queue SET resume_at = now() - interval '1 second'")
    assert len(await picked_ids(binding, worker_id, ONE)) == 1


async def test_a_worker_that_nobody_knows_is_given_nothing(binding: Binding, tables: Tables) -> None:
    tables.add_job()
    assert await look(binding, uuid4(), ONE) == LimitedPick([], {"mail": OPEN})
    assert tables.ask("SELECT count(*) FROM pgq_bucket") == 0


async def test_nobody_waits_for_a_worker_that_is_being_answered(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    tables.add_job()
    tables.add_job()
    tables.add_job(entrypoint="letter")
    pick = operations.pick_limited(tables.add_worker(), ["default"], {"mail": Limit(concurrency=2)}, 1)
    rival.execute(pick.statement.pyformat.encode(), pick.params)
    jobs, holds = await look(
        binding, worker_id, {"mail": Limit(concurrency=2), "letter": Limit(concurrency=1)}
    )
    assert [job.entrypoint for job in jobs] == ["letter"]
    assert holds == {"mail": Hold(Verdict.BUSY), "letter": EMPTY}
    rival.commit()
    assert len(await picked_ids(binding, worker_id, {"mail": Limit(concurrency=2)})) == 1


async def test_a_job_that_somebody_has_locked_is_not_waited_for(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    locked, free = tables.add_job(), tables.add_job()
    rival.execute("SELECT 1 FROM pgq_job WHERE id = %s FOR UPDATE", [locked])
    assert await picked_ids(binding, worker_id, {"mail": Limit(concurrency=2)}) == [free]
    rival.rollback()
    assert await picked_ids(binding, worker_id, {"mail": Limit(per_key=1)}) == [locked]


async def test_limits_of_one_entrypoint_may_differ_and_each_worker_keeps_its_own(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    """As it happens while a new version is rolled out."""
    for _ in range(5):
        tables.add_job()
    assert len(await picked_ids(binding, worker_id, {"mail": Limit(concurrency=3)})) == 3
    assert await picked_ids(binding, worker_id, {"mail": Limit(concurrency=2)}) == []
    assert len(await picked_ids(binding, worker_id, {"mail": Limit(concurrency=4)})) == 1


# Rates


async def test_a_rate_lets_one_job_start_and_says_when_the_next_may(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    first, second = tables.add_job(), tables.add_job()
    slow = {"mail": Limit(per_second=0.01)}
    jobs, holds = await look(binding, worker_id, slow)
    assert [job.id for job in jobs] == [first]
    assert holds["mail"].verdict is Verdict.THROTTLED
    assert 90 < (holds["mail"].wait_seconds or 0) <= 100
    await end(binding, *jobs)
    jobs, holds = await look(binding, worker_id, slow)
    assert not jobs
    assert 50 < (holds["mail"].wait_seconds or 0) < 100
    tables.execute("UPDATE pgq_bucket SET empty_at = empty_at - interval '100 seconds'")
    assert await picked_ids(binding, worker_id, slow) == [second]


async def test_a_token_is_taken_for_a_job_and_not_for_a_look(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    limits = {"mail": Limit(concurrency=1, per_second=0.1)}
    running = tables.add_picked_job(worker_id)
    waiting = tables.add_job()
    assert (await look(binding, worker_id, limits)).holds == {"mail": FULL}
    assert tables.ask("SELECT count(*) FROM pgq_bucket") == 0
    await binding.run(operations.finish([Outcome(running, 1, "successful", 0.0, 0.0)]))
    assert await picked_ids(binding, worker_id, limits) == [waiting]


async def test_after_a_long_pause_no_more_start_at_once_than_always(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    for _ in range(30):
        tables.add_job()
    ten = {"mail": Limit(per_second=10)}
    await look(binding, worker_id, ten)
    tables.execute("UPDATE pgq_bucket SET empty_at = '2000-01-01'")
    assert len(await picked_ids(binding, worker_id, ten)) == 1


async def test_a_clock_that_was_set_back_does_not_stop_the_jobs(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    for _ in range(3):
        tables.add_job()
    ten = {"mail": Limit(per_second=10)}
    await look(binding, worker_id, ten)
    tables.execute("UPDATE pgq_bucket SET empty_at = now() + interval '1 hour'")
    _, holds = await look(binding, worker_id, ten)
    assert (holds["mail"].wait_seconds or 9) <= 0.2


# Keys


async def test_jobs_of_one_key_count_together(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    a1, a2, b1 = (tables.add_job(concurrency_key=key) for key in ("a", "a", "b"))
    without = [tables.add_job(), tables.add_job()]
    one = {"mail": Limit(per_key=1)}
    jobs, holds = await look(binding, worker_id, one)
    assert [job.id for job in jobs] == [a1, b1, *without]
    assert holds == {"mail": FULL}
    assert await look(binding, tables.add_worker(), one) == LimitedPick([], {"mail": FULL})
    await end(binding, jobs[0])
    jobs, holds = await look(binding, worker_id, one)
    assert [job.id for job in jobs] == [a2]
    assert holds == {"mail": EMPTY}


async def test_a_key_is_its_entrypoints_own_and_holds_for_all_queues(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_picked_job(worker_id, entrypoint="letter", concurrency_key="a")
    slow, fast = (tables.add_job(concurrency_key="a", queue=queue) for queue in ("slow", "fast"))
    one = {"mail": Limit(per_key=1)}
    assert await picked_ids(binding, worker_id, one, queues=("fast", "slow")) == [fast]
    assert await picked_ids(binding, worker_id, one, queues=("fast", "slow")) == []
    two = {"mail": Limit(per_key=2)}
    assert await picked_ids(binding, worker_id, two, queues=("fast", "slow")) == [slow]


async def test_keys_and_the_whole_are_limited_at_the_same_time(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    for key in ("a", "a", "a", "b", "b", "c"):
        tables.add_job(concurrency_key=key)
    jobs, holds = await look(binding, worker_id, {"mail": Limit(concurrency=4, per_key=2)})
    assert [job.concurrency_key for job in jobs] == ["a", "a", "b", "b"]
    assert holds == {"mail": FULL}


async def test_the_key_of_a_job_that_was_asked_to_stop_stays_taken(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_picked_job(worker_id, concurrency_key="a", cancel_requested=ago(minutes=1))
    tables.add_job(concurrency_key="a")
    assert await look(binding, worker_id, {"mail": Limit(per_key=1)}) == LimitedPick([], {"mail": FULL})


async def test_other_keys_are_found_behind_a_long_run_of_one(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.execute(
        """
        INSERT INTO pgq_job (id, entrypoint, concurrency_key, priority)
        SELECT number, 'mail', CASE WHEN number > 3000 THEN 'key ' || mod(number, 5) ELSE 'run' END, 3 - number / 1500
        FROM generate_series(1, 3010) AS number
        """
    )
    one = {"mail": Limit(per_key=1)}
    jobs, holds = await look(binding, worker_id, one, room=4)
    assert [job.id for job in jobs] == [1, 3001, 3002, 3003]
    assert holds == {"mail": OPEN}
    jobs, holds = await look(binding, worker_id, one)
    assert [job.id for job in jobs] == [3004, 3005]
    assert holds == {"mail": FULL}
    two = {"mail": Limit(per_key=2)}
    assert await picked_ids(binding, worker_id, two) == [2, *range(3006, 3011)]


# Races


@pytest.fixture(params=STORES.values(), ids=list(STORES))
async def rivals(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[list[OnStore]]:
    """Six who look at the same time, each with connections of its own."""
    open_store: Callable[[str], Store] = request.param
    async with AsyncExitStack() as stack:
        rivals = [OnStore(dsn, open_store) for _ in range(6)]
        for rival in rivals:
            stack.push_async_callback(rival.close)
        yield rivals


async def test_a_concurrency_limit_is_exact_whoever_races(rivals: list[OnStore], tables: Tables) -> None:
    """A pick and an end is a moment each; in between, everybody counts for himself what runs."""
    job_ids = {tables.add_job() for _ in range(200)}
    three = {"mail": Limit(concurrency=3)}
    counts: list[int] = []

    async def work(rival: OnStore) -> None:
        worker_id = tables.add_worker()
        while job_ids:
            for job in (await look(rival, worker_id, three)).jobs:
                counts.append(tables.ask("SELECT count(*) FROM pgq_job WHERE status = 'picked'"))
                await end(rival, job)
                job_ids.remove(job.id)

    await asyncio.gather(*(work(rival) for rival in rivals))
    assert max(counts) <= 3
    assert len(counts) == 200


async def test_a_rate_is_never_exceeded_whoever_races(rivals: list[OnStore], tables: Tables) -> None:
    for _ in range(200):
        tables.add_job()
    fifty = {"mail": Limit(per_second=50)}
    began = time.monotonic()
    looks: list[tuple[float, float, int]] = []  # asked, answered, picked

    def picked() -> int:
        return sum(count for _, _, count in looks)

    async def work(rival: OnStore) -> None:
        worker_id = tables.add_worker()
        while (asked := time.monotonic()) - began < 2.5 or picked() < 60:
            job_ids = await picked_ids(rival, worker_id, fifty)
            looks.append((asked, time.monotonic(), len(job_ids)))

    await asyncio.gather(*(work(rival) for rival in rivals))
    starts = sorted(job.updated for job in tables.jobs() if job.status == "picked")
    assert len(starts) == picked()
    # A job's time is that of its statement, which may have been slow to come to the bucket. So count what was both
    # asked for and answered within a second.
    found = [look for look in looks if look[2]]
    for since, _, _ in found:
        counts = [count for asked, answered, count in found if since <= asked and answered < since + 0.98]
        assert sum(counts) <= 51, "52 within a second"
    # not all at once and then none; but a busy machine may be slow to answer
    longest_gap = max((later - earlier).total_seconds() for earlier, later in pairwise(starts))
    assert longest_gap < 0.5 + 2 * max(answered - asked for asked, answered, _ in looks)


async def test_limits_are_exact_in_a_database_whose_isolation_is_stricter(
    rivals: list[OnStore], tables: Tables
) -> None:
    """A worker sets its own: with one snapshot for a whole transaction, counting would come too early."""
    name = tables.ask("SELECT current_database()")
    tables.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        tables.add_job()
        tables.add_job()
        (first, second, *_) = rivals
        assert len(await picked_ids(first, tables.add_worker(), ONE)) == 1
        assert await picked_ids(second, tables.add_worker(), ONE) == []
    finally:
        tables.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def test_an_inexact_isolation_is_refused(tables: Tables, rival: psycopg.Connection) -> None:
    rival.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    pick = operations.pick_limited(tables.add_worker(), ["default"], ONE, 1)
    with pytest.raises(psycopg.errors.RaiseException, match="limits are exact in READ COMMITTED only"):
        rival.execute(pick.statement.pyformat.encode(), pick.params)
