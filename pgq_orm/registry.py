"""Registry: which handler runs the jobs of which entrypoint, and which schedules enqueue them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from pgq_orm import cron
from pgq_orm.errors import RegistrationError, UnknownEntrypointError
from pgq_orm.executors import EntrypointExecutor, ExecutorFactory
from pgq_orm.handlers import Handler
from pgq_orm.operations import DEFAULT_QUEUE, NAME_LENGTH
from pgq_orm.retries import Backoff

HandlerT = TypeVar("HandlerT", bound=Callable[..., object])
CatchUp: TypeAlias = Literal["latest", "all", "none"]
CATCH_UPS = ("latest", "all", "none")


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """A handler under its name, and what becomes of its failures."""

    name: str
    handler: Handler
    executor_factory: ExecutorFactory
    max_attempts: int
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule as it was declared in code."""

    entrypoint: str
    expression: str
    timezone: str
    catch_up: CatchUp
    queue: str


class Registry:
    """The handlers and schedules of an application, by name."""

    def __init__(self) -> None:
        self.entrypoints: dict[str, Entrypoint] = {}
        self.schedules: dict[tuple[str, str], ScheduleEntry] = {}

    def entrypoint(
        self,
        name: str,
        *,
        executor_factory: ExecutorFactory = EntrypointExecutor,
        max_attempts: int = 1,
        backoff: Backoff | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Registers the decorated function as the handler of all jobs enqueued under `name`.

        The first parameter is given the job; others are found by annotation: `Context`, or a session of the ORM
        in use, which is committed when the handler returns. A handler that raises ends its job as `exception`
        once `max_attempts` were made (a job's own `max_attempts` comes first), and is run again after a delay
        until then. Raises RegistrationError if the name is taken or unusable.
        """
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH or "\0" in name:
            raise RegistrationError(
                f"an entrypoint's name must be a string of 1 to {NAME_LENGTH} characters, not {name!r}"
                + ("; write @pgq.entrypoint('name') above the function" if callable(name) else "")
            )
        if max_attempts < 1:
            raise RegistrationError(f"max_attempts must be at least 1, not {max_attempts!r}")

        def register(handler: HandlerT) -> HandlerT:
            self._add(Entrypoint(name, handler, executor_factory, max_attempts, backoff or Backoff()))
            return handler

        return register

    def schedule(
        self,
        entrypoint: str,
        expression: str,
        *,
        executor_factory: ExecutorFactory = EntrypointExecutor,
        timezone: str = "UTC",
        catch_up: CatchUp = "latest",
        queue: str = DEFAULT_QUEUE,
        max_attempts: int = 1,
        backoff: Backoff | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Registers the decorated function to run at every tick of a cron expression.

        Each tick enqueues one job, once among all workers; while that job is still to be done the next ticks add
        none. The handler's first parameter is given the `Schedule`. `catch_up` says what happens to ticks that
        passed while no worker ran: "latest" fires once for all of them, "all" one after the other, "none" waits
        for the next. Raises RegistrationError for an expression or a zone that does not exist.
        """
        cron.check(expression, timezone)
        if catch_up not in CATCH_UPS:
            raise RegistrationError(f"catch_up must be one of {', '.join(CATCH_UPS)}, not {catch_up!r}")

        def register(handler: HandlerT) -> HandlerT:
            known = self.entrypoints.get(entrypoint)
            if known is None or known.handler is not handler:
                self.entrypoint(
                    entrypoint, executor_factory=executor_factory, max_attempts=max_attempts, backoff=backoff
                )(handler)
            self.schedules[entrypoint, expression] = ScheduleEntry(
                entrypoint, expression, timezone, catch_up, queue
            )
            return handler

        return register

    def require(self, entrypoint: str) -> Entrypoint:
        """The entrypoint of that name. Raises UnknownEntrypointError."""
        try:
            return self.entrypoints[entrypoint]
        except KeyError:
            raise UnknownEntrypointError(
                entrypoint, self.entrypoints, "import the module that registers it first"
            ) from None

    def _add(self, entrypoint: Entrypoint) -> None:
        taken = self.entrypoints.get(entrypoint.name)
        # A module imported twice (as `tasks` and as `shop.tasks`) declares the same function again: no conflict.
        if taken is not None and _origin(taken.handler) != _origin(entrypoint.handler):
            raise RegistrationError(
                f"entrypoint {entrypoint.name!r} is taken by {'.'.join(_origin(taken.handler))}: "
                "give this handler another name"
            )
        self.entrypoints[entrypoint.name] = entrypoint


def _origin(handler: Handler) -> tuple[str, str]:
    return getattr(handler, "__module__", "?"), getattr(handler, "__qualname__", repr(handler))
