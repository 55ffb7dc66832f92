"""Ticks: executors for what schedules enqueue, made for one schedule and given the schedule rather than the job."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from pgq_orm import contexts, cron
from pgq_orm.errors import RegistrationError
from pgq_orm.executors.abstract import (
    AbstractEntrypointExecutor,
    EntrypointExecutorParameters,
    ExecutorFactory,
    executor_class,
)
from pgq_orm.executors.entrypoint import EntrypointExecutor
from pgq_orm.models import Context, Job, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleExecutorFactoryParameters(EntrypointExecutorParameters):
    """What the executor of a schedule is made from."""

    expression: str
    timezone: str
    clean_old: bool


@dataclass(eq=False)
class AbstractScheduleExecutor(ABC):
    """Runs a schedule's ticks. Subclass it, implement `execute`, pass it as `executor_factory` of `schedule`.

    An `execute` with one parameter is given the schedule alone, as PgQueuer 0.20 did.
    """

    parameters: ScheduleExecutorFactoryParameters

    @abstractmethod
    async def execute(self, schedule: Schedule, context: Context) -> Any:
        """Runs one tick, a job whose outcome is what becomes of this: the value it returns, or what it raises."""

    async def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Releases what the executor holds, once its worker has ended."""

    def get_next(self) -> datetime:
        """The next tick by this machine's clock, in UTC; workers go by the database's."""
        return cron.next_run(self.parameters.expression, self.parameters.timezone, datetime.now(UTC))

    def next_in(self) -> timedelta:
        """How long it is until then."""
        return self.get_next() - datetime.now(UTC)


@dataclass(eq=False)
class ScheduleExecutor(AbstractScheduleExecutor):
    """Calls the schedule's handler, as EntrypointExecutor does; for subclasses that do something around it."""

    def __post_init__(self) -> None:
        self._calling = EntrypointExecutor(self.parameters)

    async def execute(self, schedule: Schedule, context: Context | None = None) -> Any:
        surrounding = context or contexts.current()
        if surrounding is None:
            raise RuntimeError("ScheduleExecutor.execute() runs ticks, and no worker has called it with one")
        return await self._calling.execute(surrounding.job, replace(surrounding, schedule=schedule))


AnyExecutor: TypeAlias = AbstractEntrypointExecutor | AbstractScheduleExecutor
ScheduleExecutorFactory: TypeAlias = Callable[[ScheduleExecutorFactoryParameters], AnyExecutor]
"""Makes an executor for the ticks, or one for their jobs."""


@dataclass(frozen=True, slots=True)
class Ticking:
    """A schedule whose ticks have an executor of their own."""

    factory: ScheduleExecutorFactory
    expression: str
    timezone: str
    clean_old: bool

    def executor(self, parameters: EntrypointExecutorParameters) -> AbstractEntrypointExecutor:
        """The executor, made from what the worker gives. Raises RegistrationError if the factory gives none."""
        given = {
            field.name: getattr(parameters, field.name) for field in fields(EntrypointExecutorParameters)
        }
        made = self.factory(
            ScheduleExecutorFactoryParameters(
                **given, expression=self.expression, timezone=self.timezone, clean_old=self.clean_old
            )
        )
        match made:
            case AbstractEntrypointExecutor():
                return made
            case AbstractScheduleExecutor():
                return _OfTick(parameters, made)
        raise RegistrationError(
            f"the executor_factory of the schedule {parameters.entrypoint!r} ({self.expression}) gave {made!r}: "
            "expected an AbstractScheduleExecutor, or an AbstractEntrypointExecutor"
        )


@dataclass(frozen=True, slots=True)
class TickExecutors:
    """The factory of an entrypoint whose schedules have executors of their own; its other jobs have `otherwise`."""

    otherwise: ExecutorFactory
    schedules: Mapping[str, Ticking]
    """By expression."""

    def __call__(self, parameters: EntrypointExecutorParameters) -> AbstractEntrypointExecutor:
        return _ByExpression(
            parameters,
            self.otherwise(parameters),
            {expression: ticking.executor(parameters) for expression, ticking in self.schedules.items()},
        )


def refuse_for_jobs(factory: object) -> None:
    """Refuses an executor of schedules where jobs are to be processed. Raises RegistrationError."""
    if isinstance(factory, type) and issubclass(factory, AbstractScheduleExecutor):
        raise RegistrationError(
            f"{factory.__name__} runs the ticks of schedules: give it to schedule(), and an AbstractEntrypointExecutor "
            "to entrypoint()"
        )


def factory_for_jobs(factory: ExecutorFactory | ScheduleExecutorFactory) -> ExecutorFactory:
    """What runs the other jobs of an entrypoint that exists for a schedule with that factory."""
    return cast(ExecutorFactory, factory) if executor_class(factory) is not None else EntrypointExecutor


def with_ticks(factory: ExecutorFactory, ticking: Ticking) -> ExecutorFactory:
    """The factory of an entrypoint, once the ticks of one more schedule are to run there."""
    otherwise = factory.otherwise if isinstance(factory, TickExecutors) else factory
    schedules = dict(factory.schedules) if isinstance(factory, TickExecutors) else {}
    schedules[ticking.expression] = ticking
    if ticking.factory in (otherwise, EntrypointExecutor):
        del schedules[ticking.expression]  # nothing of its own
    return TickExecutors(otherwise, schedules) if schedules else otherwise


@dataclass(eq=False)
class _ByExpression(AbstractEntrypointExecutor):
    otherwise: AbstractEntrypointExecutor
    executors: Mapping[str, AbstractEntrypointExecutor]

    async def execute(self, job: Job, context: Context) -> Any:
        expression = None if context.schedule is None else context.schedule.expression
        return await self.executors.get(expression or "", self.otherwise).execute(job, context)

    async def close(self) -> None:
        for executor in (self.otherwise, *self.executors.values()):
            await executor.close()


@dataclass(eq=False)
class _OfTick(AbstractEntrypointExecutor):
    executor: AbstractScheduleExecutor

    def __post_init__(self) -> None:
        self._takes_context = len(inspect.signature(self.executor.execute).parameters) > 1

    async def execute(self, job: Job, context: Context) -> Any:
        assert context.schedule is not None  # chosen by its expression
        execute: Callable[..., Any] = self.executor.execute
        return await (
            execute(context.schedule, context) if self._takes_context else execute(context.schedule)
        )

    async def close(self) -> None:
        await self.executor.close()
