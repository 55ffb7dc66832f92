"""Ticks: a schedule may have an executor of its own, which is given the schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from pgq_orm import PgQueuer
from pgq_orm.errors import RegistrationError
from pgq_orm.executors import (
    AbstractScheduleExecutor,
    RetryWithBackoffEntrypointExecutor,
    ScheduleExecutor,
    ScheduleExecutorFactoryParameters,
)
from pgq_orm.models import Context, Job, Schedule
from tests.eventually import aeventually
from tests.worker.workers import running

YEARLY, DAILY, HOURLY = "0 0 1 1 *", "0 0 * * *", "0 * * * *"


@dataclass(eq=False)
class Noting(AbstractScheduleExecutor):
    """Notes each tick, instead of calling the handler."""

    notes: list[Any]

    async def execute(self, schedule: Schedule, context: Context) -> str:
        self.notes.append((schedule.expression, context.job.schedule_id == schedule.id))
        return "noted"

    async def close(self) -> None:
        self.notes.append("closed")


class NotingAsBefore(AbstractScheduleExecutor):
    """What PgQueuer 0.20 called `execute` with."""

    notes: list[str] = []

    async def execute(self, schedule: Schedule) -> None:  # type: ignore[override]
        self.notes.append(schedule.entrypoint)
        await self.parameters.func(schedule)


class Timing(ScheduleExecutor):
    """Does something around the handler."""

    async def execute(self, schedule: Schedule, context: Context | None = None) -> Any:
        return ["before", await super().execute(schedule), "after"]


@pytest.fixture
def tick(engine: Engine, pgq: PgQueuer) -> Callable[..., Any]:
    """Lets schedules fire, and gives the results of their jobs."""

    def execute(statement: str) -> Any:
        with engine.begin() as connection:
            return connection.execute(text(statement))

    async def tick(number: int = 1) -> list[Any]:
        async with running(pgq):
            await aeventually(lambda: execute("SELECT 1 FROM pgq_schedule").all())
        pgq.shutdown.clear()
        execute("UPDATE pgq_schedule SET next_run = date_trunc('minute', now()) - interval '1 day'")
        async with running(pgq):
            await aeventually(lambda: len(execute("SELECT 1 FROM pgq_log").all()) == number)
        rows = execute("SELECT status, COALESCE(CAST(result AS text), error) FROM pgq_log ORDER BY id")
        return [tuple(row) for row in rows]

    return tick


async def test_a_schedules_executor_runs_its_ticks(pgq: PgQueuer, tick: Callable[..., Any]) -> None:
    notes: list[Any] = []

    @pgq.schedule("sweep", YEARLY, executor_factory=lambda parameters: Noting(parameters, notes))
    async def sweep(schedule: Schedule) -> None:
        raise AssertionError("never called")

    assert await tick() == [("successful", '"noted"')]
    assert notes == ["closed", (YEARLY, True), "closed"]  # once for each run of the worker


async def test_an_executor_that_takes_the_schedule_alone_is_given_no_more(
    pgq: PgQueuer, tick: Callable[..., Any]
) -> None:
    called: list[str] = []

    @pgq.schedule("sweep", YEARLY, executor_factory=NotingAsBefore)
    async def sweep(schedule: Schedule) -> None:
        called.append(schedule.expression)

    await tick()
    assert NotingAsBefore.notes == ["sweep"]
    assert called == [YEARLY]


async def test_an_executor_may_do_something_around_the_handler(
    pgq: PgQueuer, tick: Callable[..., Any]
) -> None:
    @pgq.schedule("sweep", YEARLY, executor_factory=Timing)
    def sweep(schedule: Schedule, context: Context) -> str:
        return f"{schedule.expression} {context.job.entrypoint}"

    assert await tick() == [("successful", f'["before", "{YEARLY} sweep", "after"]')]


async def test_each_schedule_of_a_handler_has_its_own_executor(
    pgq: PgQueuer, tick: Callable[..., Any], engine: Engine
) -> None:
    notes: list[Any] = []

    @pgq.schedule("sweep", DAILY)
    @pgq.schedule("sweep", YEARLY, executor_factory=lambda parameters: Noting(parameters, notes))
    async def sweep(subject: Schedule | Job) -> str:
        return "handler"

    with engine.begin() as connection:
        connection.execute(text("INSERT INTO pgq_job (entrypoint) VALUES ('sweep')"))
    assert sorted(await tick(3)) == [
        ("successful", '"handler"'),  # the job that no schedule enqueued
        ("successful", '"handler"'),
        ("successful", '"noted"'),
    ]
    assert (YEARLY, True) in notes


@pytest.mark.parametrize("is_seen", [True, False], ids=["class", "function"])
async def test_an_executor_of_jobs_serves_schedules_as_well(
    pgq: PgQueuer, tick: Callable[..., Any], is_seen: bool
) -> None:
    factory: Any = RetryWithBackoffEntrypointExecutor
    attempts: list[Schedule] = []

    @pgq.schedule("sweep", YEARLY, executor_factory=factory if is_seen else lambda given: factory(given))
    async def sweep(schedule: Schedule) -> int:
        attempts.append(schedule)
        if len(attempts) < 2:
            raise ConnectionError
        return len(attempts)

    assert await tick() == [("successful", "2")]


async def test_the_executor_knows_its_schedule(pgq: PgQueuer, tick: Callable[..., Any]) -> None:
    made: list[ScheduleExecutorFactoryParameters] = []

    def factory(parameters: ScheduleExecutorFactoryParameters) -> AbstractScheduleExecutor:
        made.append(parameters)
        return ScheduleExecutor(parameters)

    @pgq.schedule(
        "sweep",
        HOURLY,
        executor_factory=factory,
        timezone="Asia/Kolkata",
        clean_old=True,
        accepts_context=True,
    )
    def sweep(schedule: Schedule, surroundings: Any) -> str:
        return str(surroundings.schedule.expression)

    assert await tick() == [("successful", f'"{HOURLY}"')]
    given = made[0]
    assert (given.entrypoint, given.expression, given.timezone) == ("sweep", HOURLY, "Asia/Kolkata")
    assert (given.func, given.clean_old) == (sweep, True)
    executor = ScheduleExecutor(given)
    assert executor.get_next().astimezone(UTC).minute == 30
    assert timedelta(0) < executor.next_in() <= timedelta(hours=1)
    assert executor.get_next() > datetime.now(UTC)


async def test_a_factory_that_makes_something_else_is_refused_when_the_worker_starts(pgq: PgQueuer) -> None:
    broken: Any = lambda parameters: "executor"  # noqa: E731

    @pgq.schedule("sweep", HOURLY, executor_factory=broken)
    async def sweep(schedule: Schedule) -> None: ...

    with pytest.raises(
        RegistrationError, match=r"'sweep' \(0 \* \* \* \*\) gave 'executor': expected an Abs"
    ):
        await pgq.run()


def test_an_executor_of_schedules_is_refused_for_an_entrypoint(pgq: PgQueuer) -> None:
    factory: Any = ScheduleExecutor
    with pytest.raises(RegistrationError, match="ScheduleExecutor runs the ticks of schedules"):
        pgq.entrypoint("sweep", executor_factory=factory)
