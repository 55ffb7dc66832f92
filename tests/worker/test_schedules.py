"""Schedules: each tick once among all workers, no run beside another, and a stated policy for what was missed."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.registry import CatchUp
from pgq_orm.store import LOCK_SECONDS
from tests.eventually import aeventually
from tests.worker.conftest import dispose, make_engine
from tests.worker.queues import Queue
from tests.worker.workers import running, seconds

EVERY_SECOND = "* * * * * *"
EVERY_DAY = "0 0 * * *"  # not every hour: the fewer ticks come by themselves while a test runs, the better


def miss(queue: Queue, days: int) -> datetime:
    """Lets a daily schedule seem to have been due so many times; answers the first tick that was missed."""
    [first] = queue.scalars(
        """
        UPDATE pgq_schedule SET next_run = date_trunc('day', now(), 'UTC') - make_interval(days => :days - 1)
        RETURNING next_run
        """,
        days=days,
    )
    return first


@pytest.mark.parametrize("catch_up", ["latest", "all"])
async def test_two_workers_fire_each_tick_once_and_runs_never_overlap(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue, catch_up: CatchUp
) -> None:
    ticks: list[datetime | None] = []
    most: list[int] = []
    running_now: list[Schedule] = []

    async def tick(schedule: Schedule) -> None:
        running_now.append(schedule)
        most.append(len(running_now))
        ticks.append(schedule.last_run)
        await asyncio.sleep(0.2)
        running_now.remove(schedule)

    for worker in (pgq, other_pgq):
        worker.schedule("tick", EVERY_SECOND, catch_up=catch_up)(tick)
    async with running(pgq), running(other_pgq):
        await aeventually(lambda: len(ticks) >= 4)

    assert max(most) == 1
    assert set(Counter(ticks).values()) == {1}
    steps = [later - earlier for earlier, later in pairwise(ticks)]  # type: ignore[operator]
    assert min(steps) == timedelta(seconds=1)
    # the latest tick alone is made up for by workers that were too busy for more than one
    assert max(steps) == timedelta(seconds=1) or catch_up == "latest"


async def test_a_run_that_takes_longer_than_the_interval_lets_ticks_pass(pgq: PgQueuer, queue: Queue) -> None:
    ticks: list[Schedule] = []

    @pgq.schedule("tick", EVERY_SECOND)
    async def tick(schedule: Schedule) -> None:
        ticks.append(schedule)
        await asyncio.sleep(2.3)

    async with running(pgq):
        await aeventually(lambda: len(ticks) == 2)
        assert len(queue.jobs()) == 1
        pgq.stop_now()
    first, second = ticks
    assert second.last_run - first.last_run >= timedelta(seconds=2)  # type: ignore[operator]


async def test_a_rolling_restart_neither_skips_nor_repeats_a_tick(dsn: str, queue: Queue) -> None:
    ticks: list[datetime | None] = []
    engine = make_engine("psycopg", dsn)

    def next_release() -> PgQueuer:
        pgq = PgQueuer(engine)
        # "all": a busy machine may be away for longer than a tick
        pgq.schedule("tick", EVERY_SECOND, catch_up="all")(lambda schedule: ticks.append(schedule.last_run))
        return pgq

    async with running(next_release()):
        await aeventually(lambda: ticks)
        for count in (2, 3):
            async with running(next_release()):
                await aeventually(lambda: len(ticks) >= count)  # noqa: B023
    steps = {later - earlier for earlier, later in pairwise(ticks)}  # type: ignore[operator]
    assert steps == {timedelta(seconds=1)}
    await dispose(engine)


@pytest.mark.parametrize(
    ("catch_up", "fired"), [("latest", 1), ("all", 4), ("none", 0)], ids=["latest", "all", "none"]
)
async def test_ticks_that_were_missed_follow_the_policy(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue, catch_up: CatchUp, fired: int
) -> None:
    given: list[Schedule] = []
    pgq.schedule("daily", EVERY_DAY, catch_up=catch_up)(lambda schedule: None)
    async with running(pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule"))
    first = miss(queue, 4)

    other_pgq.schedule("daily", EVERY_DAY, catch_up=catch_up)(given.append)
    async with running(other_pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule WHERE next_run > now()"))
        await aeventually(lambda: not queue.jobs())
    assert len(given) == fired
    if catch_up == "all":
        assert [schedule.last_run for schedule in given] == [first + timedelta(days=day) for day in range(4)]


async def test_a_tick_is_a_job_like_any_other(pgq: PgQueuer, queue: Queue) -> None:
    given: list[tuple[Job, Schedule | None]] = []

    @pgq.schedule("daily", EVERY_DAY, timezone="Europe/Vienna", max_attempts=2)
    async def daily(schedule: Schedule, context: Context) -> str:
        given.append((context.job, context.schedule))
        assert schedule is context.schedule
        return "done"

    async with running(pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule"))
    due = miss(queue, 1)
    pgq.shutdown.clear()
    async with running(pgq):
        await aeventually(lambda: queue.log())
    [(job, schedule)] = given
    assert schedule is not None
    assert (schedule.entrypoint, schedule.expression, schedule.timezone) == (
        "daily",
        EVERY_DAY,
        "Europe/Vienna",
    )
    assert (schedule.last_run, job.execute_after) == (due, due)
    [entry] = queue.log(job.id)
    assert (entry.status, entry.result, entry.schedule_id) == ("successful", "done", schedule.id)


async def test_a_paused_schedule_rests(pgq: PgQueuer, queue: Queue) -> None:
    ticks: list[Schedule] = []
    pgq.schedule("tick", EVERY_SECOND)(ticks.append)
    async with running(pgq):
        await aeventually(lambda: ticks)
        queue.execute("UPDATE pgq_schedule SET paused = true")
        await aeventually(lambda: not queue.jobs())
        ticks.clear()
        await asyncio.sleep(1.5)
        assert ticks == []


async def test_a_schedule_that_an_application_holds_fires_afterwards_and_the_others_meanwhile(
    pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    held: list[Schedule] = []
    free: list[Schedule] = []
    pgq.schedule("held", EVERY_SECOND)(held.append)
    pgq.schedule("free", EVERY_SECOND)(free.append)
    async with running(pgq):
        await aeventually(lambda: held and free)
        with queue.engine.connect() as application:
            application.execute(text("UPDATE pgq_schedule SET updated = now() WHERE entrypoint = 'held'"))
            before, passed = len(held), len(free)
            # longer than a worker waits for a lock
            await aeventually(lambda: len(free) >= passed + LOCK_SECONDS + 2)
            assert len(held) <= before + 1  # a job that had been enqueued
        await aeventually(lambda: len(held) >= before + 2)
    steps = [later.last_run - earlier.last_run for earlier, later in pairwise(free)]  # type: ignore[operator]
    assert min(steps) == timedelta(seconds=1)
    assert max(steps) <= timedelta(seconds=LOCK_SECONDS + 1)  # nobody waited for the lock
    assert "Scheduler failed" not in caplog.text


@pytest.mark.parametrize("timezone", ["Europe/Viena", "Europe", "", "/etc/passwd"])
async def test_a_misspelt_time_zone_in_a_row_stops_its_own_schedule_alone_until_it_is_corrected(
    pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture, timezone: str
) -> None:
    bad: list[Schedule] = []
    good: list[Schedule] = []
    pgq.schedule("bad", EVERY_SECOND)(bad.append)
    pgq.schedule("good", EVERY_SECOND)(good.append)
    async with running(pgq):
        await aeventually(lambda: bad and good)
        queue.execute("UPDATE pgq_schedule SET timezone = :name WHERE entrypoint = 'bad'", name=timezone)
        await aeventually(lambda: f"unknown time zone: {timezone!r}" in caplog.text)
        before, passed = len(bad), len(good)
        await aeventually(lambda: len(good) >= passed + 3)
        assert len(bad) <= before + 1  # a job that had been enqueued
        queue.execute("UPDATE pgq_schedule SET timezone = 'Europe/Vienna' WHERE entrypoint = 'bad'")
        await aeventually(lambda: len(bad) >= before + 2)
    assert caplog.text.count("Schedule bad (* * * * * *) rests") == 1
    assert "Scheduler failed" not in caplog.text


async def test_a_schedule_that_is_no_longer_declared_rests(
    pgq: PgQueuer, other_pgq: PgQueuer, queue: Queue
) -> None:
    ticks: list[Schedule] = []
    pgq.schedule("tick", EVERY_SECOND)(ticks.append)
    async with running(pgq):
        await aeventually(lambda: ticks)
    queue.execute("DELETE FROM pgq_job")  # a tick may have been fired too late for the worker to run it
    ticks.clear()
    other_pgq.entrypoint("tick")(ticks.append)
    async with running(other_pgq):
        await asyncio.sleep(1.5)
    assert ticks == []


async def test_a_database_that_is_away_for_a_moment_costs_no_tick_its_run(
    pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler is given its schedule, which must be read first."""
    given: list[Schedule] = []
    pgq.schedule("daily", EVERY_DAY)(given.append)
    async with running(pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule"))
        queue.execute("ALTER TABLE pgq_schedule RENAME TO away")
        queue.execute("INSERT INTO pgq_job (entrypoint, schedule_id) SELECT 'daily', id FROM away")
        await aeventually(lambda: "Cannot read the schedule" in caplog.text)
        queue.execute("ALTER TABLE away RENAME TO pgq_schedule")
        await aeventually(lambda: queue.log())
    assert len(given) == 1
    assert queue.statuses() == ["successful"]


async def test_schedules_run_under_short_leases_too(pgq: PgQueuer, queue: Queue) -> None:
    ticks: list[Schedule] = []
    pgq.schedule("tick", EVERY_SECOND)(ticks.append)
    async with running(pgq, heartbeat_timeout=seconds(3)):
        [worker_id] = await aeventually(queue.worker_ids)
        await aeventually(lambda: len(ticks) >= 4)
        assert queue.worker_ids() == [worker_id]
