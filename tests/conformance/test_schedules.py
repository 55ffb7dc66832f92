"""Schedules: a tick enqueues one job, whoever fires it and however often it is tried."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.operations.schedules import Tick
from tests.conformance.bindings import Binding
from tests.conformance.tables import Tables, ago

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
NEXT_NOON = NOON + timedelta(days=1)
DAILY = ("balance", "0 12 * * *", "UTC", "latest", "default", NOON)


async def register(binding: Binding, *rows: tuple[str, str, str, str, str, datetime]) -> None:
    await binding.run(operations.register_schedules(rows))


async def fire(binding: Binding, *ticks: Tick) -> dict[int, int | None]:
    return await binding.run(operations.fire(ticks))


async def test_a_schedule_exists_once_somebody_declares_it(binding: Binding, tables: Tables) -> None:
    await register(binding, ("balance", "0 12 * * *", "Europe/Vienna", "all", "slow", NOON))
    schedule = tables.schedule()
    assert (schedule.entrypoint, schedule.expression, schedule.timezone) == (
        "balance",
        "0 12 * * *",
        "Europe/Vienna",
    )
    assert (schedule.catch_up, schedule.queue, schedule.next_run) == ("all", "slow", NOON)
    assert (schedule.last_run, schedule.paused) == (None, False)


async def test_declaring_it_again_keeps_its_clock(binding: Binding, tables: Tables) -> None:
    await register(binding, DAILY)
    tables.execute("UPDATE pgq_schedule SET last_run = next_run, paused = true")
    before = tables.schedule()
    await register(binding, (*DAILY[:5], NEXT_NOON))
    assert tables.schedule() == before


async def test_another_way_to_catch_up_or_another_queue_keeps_its_clock_too(
    binding: Binding, tables: Tables
) -> None:
    await register(binding, DAILY)
    await register(binding, ("balance", "0 12 * * *", "UTC", "all", "slow", NEXT_NOON))
    schedule = tables.schedule()
    assert (schedule.catch_up, schedule.queue, schedule.next_run) == ("all", "slow", NOON)


async def test_another_time_zone_starts_its_clock_anew(binding: Binding, tables: Tables) -> None:
    await register(binding, DAILY)
    await register(binding, ("balance", "0 12 * * *", "Asia/Tokyo", "latest", "default", NEXT_NOON))
    schedule = tables.schedule()
    assert (schedule.timezone, schedule.next_run) == ("Asia/Tokyo", NEXT_NOON)


async def test_an_entrypoint_may_have_several_expressions(binding: Binding, tables: Tables) -> None:
    await register(binding, DAILY, ("balance", "@hourly", *DAILY[2:]), ("report", *DAILY[1:]))
    assert tables.ask("SELECT count(*) FROM pgq_schedule") == 3


async def test_schedules_are_read_by_their_names_together_with_the_clock(
    binding: Binding, tables: Tables
) -> None:
    due = ago(hours=1)
    schedule_id = tables.add_schedule(next_run=due, last_run=NOON, timezone="Asia/Tokyo", paused=True)
    tables.add_schedule(entrypoint="other")
    (row,) = await binding.run(operations.read_schedules(["balance", "unknown"]))
    assert (row.id, row.entrypoint, row.expression, row.timezone) == (
        schedule_id,
        "balance",
        "@daily",
        "Asia/Tokyo",
    )
    assert (row.catch_up, row.next_run, row.last_run, row.paused) == ("latest", due, NOON, True)
    assert abs(tables.now() - row.clock) < timedelta(seconds=10)


async def test_a_tick_enqueues_the_schedules_job_and_moves_its_clock(
    binding: Binding, tables: Tables
) -> None:
    schedule_id = tables.add_schedule(
        next_run=NOON, priority=3, queue="slow", payload=b"p", arguments={"a": 1}, headers={"h": 1}
    )
    fired = await fire(binding, Tick(schedule_id, NOON, NEXT_NOON, is_kept=True))

    (job,) = tables.jobs()
    assert fired == {schedule_id: job.id}
    assert (job.entrypoint, job.schedule_id, job.priority, job.queue) == ("balance", schedule_id, 3, "slow")
    assert (job.payload, job.arguments, job.headers) == (b"p", {"a": 1}, {"h": 1})
    assert (job.status, job.execute_after) == ("queued", NOON)
    schedule = tables.schedule()
    assert (schedule.last_run, schedule.next_run) == (NOON, NEXT_NOON)


async def test_a_tick_wakes_a_worker_to_run_its_job(binding: Binding, tables: Tables) -> None:
    schedule_id = tables.add_schedule(next_run=NOON)
    await fire(binding, Tick(schedule_id, NOON, NEXT_NOON, is_kept=True))
    (job,) = await binding.run(operations.pick(tables.add_worker(), "default", ["balance"], 10))
    assert job.schedule_id == schedule_id


async def test_the_same_tick_fires_once(binding: Binding, tables: Tables) -> None:
    tick = Tick(tables.add_schedule(next_run=NOON), NOON, NEXT_NOON, is_kept=True)
    assert len(await fire(binding, tick)) == 1
    assert await fire(binding, tick) == {}
    assert tables.count_jobs() == 1


async def test_two_that_fire_at_the_same_moment_enqueue_one_job_and_do_not_wait_for_each_other(
    binding: Binding, tables: Tables, rival: psycopg.Connection
) -> None:
    tick = Tick(tables.add_schedule(next_run=NOON), NOON, NEXT_NOON, is_kept=True)
    first = operations.fire([tick])
    rival.execute(first.statement.pyformat.encode(), first.params)
    assert await fire(binding, tick) == {}
    rival.commit()
    assert await fire(binding, tick) == {}
    assert tables.count_jobs() == 1


async def test_a_schedule_that_somebody_holds_does_not_hold_up_the_others(
    binding: Binding, tables: Tables, rival: psycopg.Connection
) -> None:
    held, free = (tables.add_schedule(entrypoint=name, next_run=NOON) for name in ("held", "free"))
    ticks = [Tick(id_, NOON, NEXT_NOON, is_kept=True) for id_ in (held, free)]
    rival.execute("UPDATE pgq_schedule SET paused = true WHERE id = %s", [held])
    assert (await fire(binding, *ticks)).keys() == {free}
    rival.rollback()
    assert (await fire(binding, *ticks)).keys() == {held}


async def test_declaring_it_again_waits_for_nobody_who_holds_it(
    binding: Binding, tables: Tables, rival: psycopg.Connection
) -> None:
    await register(binding, DAILY)
    rival.execute("UPDATE pgq_schedule SET paused = true")
    await asyncio.wait_for(register(binding, DAILY, ("report", *DAILY[1:])), 10)
    assert tables.ask("SELECT count(*) FROM pgq_schedule") == 2


async def test_while_the_job_before_is_still_to_be_done_no_other_is_added(
    binding: Binding, tables: Tables
) -> None:
    schedule_id = tables.add_schedule(next_run=NOON)
    await fire(binding, Tick(schedule_id, NOON, NEXT_NOON, is_kept=True))
    later = NEXT_NOON + timedelta(days=1)
    assert await fire(binding, Tick(schedule_id, NEXT_NOON, later, is_kept=True)) == {schedule_id: None}
    assert tables.count_jobs() == 1
    assert tables.schedule().next_run == later


async def test_a_schedule_that_catches_up_with_all_ticks_waits_for_the_job_before(
    binding: Binding, tables: Tables
) -> None:
    schedule_id = tables.add_schedule(next_run=NOON, catch_up="all")
    (job_id,) = (await fire(binding, Tick(schedule_id, NOON, NEXT_NOON, is_kept=True))).values()
    tick = Tick(schedule_id, NEXT_NOON, NEXT_NOON + timedelta(days=1), is_kept=True)
    assert await fire(binding, tick) == {}
    assert tables.schedule().next_run == NEXT_NOON

    assert job_id is not None
    await binding.run(operations.cancel([job_id]))
    assert len(await fire(binding, tick)) == 1


async def test_a_tick_that_is_not_kept_only_passes(binding: Binding, tables: Tables) -> None:
    schedule_id = tables.add_schedule(next_run=NOON)
    assert await fire(binding, Tick(schedule_id, NOON, NEXT_NOON, is_kept=False)) == {schedule_id: None}
    assert tables.count_jobs() == 0
    assert tables.schedule().next_run == NEXT_NOON


@pytest.mark.parametrize("changes", [{"paused": True}, {"next_run": NEXT_NOON}], ids=["paused", "moved"])
async def test_a_schedule_that_was_paused_or_moved_meanwhile_does_not_fire(
    binding: Binding, tables: Tables, changes: dict[str, object]
) -> None:
    schedule_id = tables.add_schedule(**{"next_run": NOON} | changes)
    before = tables.schedule()
    assert await fire(binding, Tick(schedule_id, NOON, NEXT_NOON, is_kept=True)) == {}
    assert tables.schedule() == before
    assert tables.count_jobs() == 0


async def test_a_tick_that_is_still_to_come_does_not_fire_whatever_a_worker_takes_for_now(
    binding: Binding, tables: Tables
) -> None:
    soon = ago(hours=-1)
    schedule_id = tables.add_schedule(next_run=soon)
    assert await fire(binding, Tick(schedule_id, soon, soon + timedelta(days=1), is_kept=True)) == {}
    assert tables.schedule().next_run == soon
    assert tables.count_jobs() == 0


@pytest.mark.parametrize("column", ["next_run", "last_run"])
@pytest.mark.parametrize("instant", ["infinity", "-infinity", "1899-12-31 00:00Z", "9001-01-01 00:00Z"])
async def test_an_instant_that_would_keep_workers_from_their_schedules_is_not_stored(
    tables: Tables, column: str, instant: str
) -> None:
    tables.add_schedule()
    with pytest.raises(psycopg.errors.CheckViolation, match=f"pgq_schedule_{column}_check"):
        tables.execute(f"UPDATE pgq_schedule SET {column} = %s", instant)


async def test_several_schedules_fire_together(binding: Binding, tables: Tables) -> None:
    ids = [tables.add_schedule(entrypoint=name, next_run=NOON) for name in ("a", "b", "c")]
    fired = await fire(binding, *(Tick(id_, NOON, NEXT_NOON, is_kept=id_ != ids[1]) for id_ in ids))
    assert fired[ids[1]] is None
    assert {tables.job(fired[ids[0]]).entrypoint, tables.job(fired[ids[2]]).entrypoint} == {"a", "c"}
