"""Schedules: they rest, go on, run out of turn and go away when they are told to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgq_orm import operations
from pgq_orm.errors import UnknownScheduleError
from pgq_orm.operations.schedules import Tick
from pgq_orm.reports import ScheduleState
from tests.queries.askers import Asker
from tests.queries.workshop import Workshop

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TOMORROW = NOON + timedelta(days=1)

VERBS = ["pause_schedule", "resume_schedule", "run_schedule_now", "delete_schedule"]


def tick(workshop: Workshop, schedule_id: int) -> dict[int, int | None]:
    """What a worker does at noon; answers the job of each schedule that fired."""
    return workshop.run(operations.fire([Tick(schedule_id, NOON, TOMORROW, True)]))


async def test_every_schedule_is_listed_as_it_stands(asker: Asker, workshop: Workshop) -> None:
    second = workshop.add_schedule("balance", expression="@weekly", next_run=NOON, paused=True)
    first = workshop.add_schedule(
        "balance", next_run=NOON, last_run=TOMORROW, timezone="Europe/Vienna", catch_up="all", queue="slow"
    )
    assert await asker.ask("fetch_schedules") == [
        ScheduleState(first, "balance", "@daily", "Europe/Vienna", "all", "slow", 0, False, NOON, TOMORROW),
        ScheduleState(second, "balance", "@weekly", "UTC", "latest", "default", 0, True, NOON, None),
    ]


async def test_a_paused_schedule_does_not_fire_until_it_is_resumed(asker: Asker, workshop: Workshop) -> None:
    schedule_id = workshop.add_schedule(next_run=NOON)
    assert await asker.ask("pause_schedule", "balance") == [schedule_id]
    await asker.commit()
    assert tick(workshop, schedule_id) == {}
    assert await asker.ask("resume_schedule", "balance") == [schedule_id]
    await asker.commit()
    assert tick(workshop, schedule_id)[schedule_id]


async def test_a_pause_outlives_a_restart_of_the_worker(asker: Asker, workshop: Workshop) -> None:
    workshop.add_schedule(next_run=NOON)
    await asker.ask("pause_schedule", "balance")
    await asker.commit()
    workshop.run(
        operations.register_schedules([("balance", "@daily", "Europe/Vienna", "all", "slow", TOMORROW)])
    )
    (schedule,) = await asker.ask("fetch_schedules")
    assert schedule.paused
    assert schedule.timezone == "Europe/Vienna"


async def test_a_run_out_of_turn_leaves_the_next_tick_where_it_is(asker: Asker, workshop: Workshop) -> None:
    schedule_id = workshop.add_schedule(
        next_run=TOMORROW, paused=True, queue="slow", priority=3, payload=b"a", arguments='{"b": 1}'
    )
    answer = await asker.ask("run_schedule_now", "balance")
    await asker.commit()
    job = workshop.job(answer[schedule_id])
    assert (job.entrypoint, job.status, job.schedule_id) == ("balance", "queued", schedule_id)
    assert (job.queue, job.priority, job.payload, job.arguments) == ("slow", 3, b"a", {"b": 1})
    assert job.execute_after == job.updated
    (schedule,) = await asker.ask("fetch_schedules")
    assert (schedule.next_run, schedule.last_run) == (TOMORROW, job.created)


async def test_a_schedule_never_overlaps_with_itself(asker: Asker, workshop: Workshop) -> None:
    schedule_id = workshop.add_schedule(next_run=NOON, last_run=None)
    job_id = tick(workshop, schedule_id)[schedule_id]
    assert await asker.ask("run_schedule_now", schedule_id) == {schedule_id: None}
    await asker.commit()
    assert (await asker.ask("fetch_schedules"))[0].last_run == NOON
    await asker.commit()

    assert job_id is not None
    workshop.finish(job_id)
    answer = await asker.ask("run_schedule_now", schedule_id)
    await asker.commit()
    assert answer[schedule_id]
    workshop.connection.execute("UPDATE pgq_schedule SET next_run = %s", [NOON])
    assert tick(workshop, schedule_id) == {schedule_id: None}


async def test_a_deleted_schedule_leaves_its_jobs(asker: Asker, workshop: Workshop) -> None:
    schedule_id = workshop.add_schedule(next_run=NOON)
    job_id = tick(workshop, schedule_id)[schedule_id]
    assert await asker.ask("delete_schedule", "balance") == [schedule_id]
    await asker.commit()
    assert await asker.ask("fetch_schedules") == []
    assert workshop.job(job_id).status == "queued"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "name",
    [lambda one, two: "balance", lambda one, two: [one, two], lambda one, two: [two, "balance", one]],
    ids=["by entrypoint", "by ids", "by both"],
)
async def test_an_entrypoint_stands_for_all_of_its_schedules(
    asker: Asker, workshop: Workshop, verb: str, name: Callable[[int, int], Any]
) -> None:
    one, two = workshop.add_schedule(), workshop.add_schedule(expression="@weekly")
    workshop.add_schedule("report")
    assert sorted(await asker.ask(verb, name(one, two))) == [one, two]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_typo_is_told_before_anything_is_changed(asker: Asker, workshop: Workshop, verb: str) -> None:
    workshop.add_schedule("balance", next_run=NOON)
    expected = "no schedule 'ballance' in the database: did you mean 'balance'. .*known: 'balance'"
    with pytest.raises(UnknownScheduleError, match=expected) as caught:
        await asker.ask(verb, ["balance", "ballance"])
    assert caught.value.schedule == "ballance"
    await asker.commit()
    (schedule,) = await asker.ask("fetch_schedules")
    assert (schedule.paused, schedule.last_run) == (False, None)
    assert workshop.value("SELECT count(*) FROM pgq_job") == 0


@pytest.mark.parametrize("verb", VERBS)
async def test_an_unknown_id_is_told_as_well(asker: Asker, verb: str) -> None:
    with pytest.raises(UnknownScheduleError, match=r"no schedule 99 in the database: .*known: none"):
        await asker.ask(verb, 99)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_rollback_takes_it_back(asker: Asker, workshop: Workshop, verb: str) -> None:
    workshop.add_schedule(paused=verb == "resume_schedule")
    before = workshop.row("SELECT * FROM pgq_schedule")
    await asker.ask(verb, "balance")
    await asker.rollback()
    assert workshop.row("SELECT * FROM pgq_schedule") == before
    assert workshop.value("SELECT count(*) FROM pgq_job") == 0
