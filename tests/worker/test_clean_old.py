"""clean_old: what an application no longer declares is removed, and nothing else."""

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Schedule
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import running

DECLARED = "SELECT entrypoint || ' ' || expression FROM pgq_schedule ORDER BY 1"


def declare(queue: Queue, *keys: tuple[str, str]) -> None:
    """Leaves schedules behind, as a release before this one would."""
    for entrypoint, expression in keys:
        queue.execute(
            "INSERT INTO pgq_schedule (entrypoint, expression, next_run) VALUES (:name, :expression, '2100-01-01Z')",
            name=entrypoint,
            expression=expression,
        )


async def test_other_expressions_of_the_same_name_are_removed(
    each_pgq: PgQueuer, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    declare(queue, ("sweep", "@daily"), ("sweep", "@weekly"), ("sweep", "@hourly"), ("rake", "@daily"))

    @each_pgq.schedule("sweep", "@hourly", clean_old=True)
    @each_pgq.schedule("sweep", "@weekly")
    async def sweep(schedule: Schedule) -> None: ...

    with caplog.at_level("INFO"):
        async with running(each_pgq):
            await aeventually(lambda: "Removed the schedule sweep (@daily)" in caplog.text)
    assert queue.scalars(DECLARED) == ["rake @daily", "sweep @hourly", "sweep @weekly"]


async def test_what_is_still_declared_keeps_its_clock(pgq: PgQueuer, queue: Queue) -> None:
    declare(queue, ("sweep", "@hourly"))
    [before] = queue.execute("SELECT id, next_run FROM pgq_schedule")
    pgq.schedule("sweep", "@hourly", clean_old=True)(lambda schedule: None)
    declare(queue, ("sweep", "@daily"))
    async with running(pgq):
        await aeventually(lambda: len(queue.scalars(DECLARED)) == 1)
    [after] = queue.execute("SELECT id, next_run FROM pgq_schedule")
    assert after == before


async def test_without_it_they_rest(pgq: PgQueuer, queue: Queue) -> None:
    declare(queue, ("sweep", "@daily"))
    pgq.schedule("sweep", "@hourly")(lambda schedule: None)
    async with running(pgq):
        await aeventually(lambda: "sweep @hourly" in queue.scalars(DECLARED))
    assert queue.scalars(DECLARED) == ["sweep @daily", "sweep @hourly"]


async def test_a_tick_that_waits_is_run_even_if_its_schedule_is_removed_meanwhile(
    pgq: PgQueuer, queue: Queue
) -> None:
    declare(queue, ("sweep", "@daily"))
    queue.execute("INSERT INTO pgq_job (entrypoint, schedule_id) SELECT 'sweep', id FROM pgq_schedule")
    given: list[Schedule] = []
    pgq.schedule("sweep", "@hourly", clean_old=True)(given.append)
    queue.execute("DELETE FROM pgq_schedule")
    async with running(pgq):
        await aeventually(lambda: queue.statuses() == ["successful"])
    [schedule] = given
    assert (schedule.entrypoint, schedule.expression) == ("sweep", "")
