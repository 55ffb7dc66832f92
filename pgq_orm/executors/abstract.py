"""Abstract: what every executor is made from, and what it must do."""

import asyncio
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

from pgq_orm.errors import RegistrationError
from pgq_orm.executors.capabilities import Capabilities
from pgq_orm.handlers import Handler
from pgq_orm.models import Context, Job
from pgq_orm.store import Scopes


@dataclass(frozen=True, slots=True)
class EntrypointExecutorParameters:
    """What an executor is made from: the handler it serves, and the worker's means of calling it."""

    entrypoint: str
    func: Handler
    scopes: Scopes
    threads: Executor
    """Where sync handlers run, in as many threads as jobs may run at a time."""
    shutdown: asyncio.Event
    """Set when the worker is asked to end."""
    accepts_context: bool | None = None
    """Whether the handler is given a Context; None looks for a parameter with that annotation."""
    transactional: bool = False
    """Whether the handler's writes and the end of its job are to commit together."""


@dataclass(eq=False)
class AbstractEntrypointExecutor(ABC):
    """Processes the jobs of one entrypoint. Subclass it, implement `execute`, pass it as `executor_factory`.

    A dataclass, so that a subclass may declare its options as fields.
    """

    parameters: EntrypointExecutorParameters

    capabilities: ClassVar[Capabilities] = Capabilities(time_limit=True, cancellation=True)
    """What it can do to an attempt that runs; this one says that `execute` awaits, and may be interrupted there."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        # Here and not in __init__, which has no parameter for an option that the executor lacks.
        for given in (*args, *options.values()):
            if isinstance(given, EntrypointExecutorParameters):
                cls.check(given.func, {"transactional": given.transactional or None, **options})
        return super().__new__(cls)

    @classmethod
    def check(cls, handler: Handler, options: Mapping[str, object]) -> None:
        """Refuses a handler that this executor cannot serve, and options that it lacks. Raises RegistrationError.

        Called where the handler is registered, if the factory is a class or a `functools.partial` of one, and again
        when a worker starts.
        """
        cls.capabilities.require(cls.__name__, options)

    @abstractmethod
    async def execute(self, job: Job, context: Context) -> Any:
        """Processes one job. Returning ends it as successful, with the returned value as its result if JSON can
        express it; raising ends the attempt as failed. Runs on the worker's event loop: do not block.
        """

    async def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Releases what the executor holds, once its worker has ended."""


ExecutorFactory: TypeAlias = Callable[[EntrypointExecutorParameters], AbstractEntrypointExecutor]


def executor_class(factory: Callable[..., object]) -> type[AbstractEntrypointExecutor] | None:
    """The class of which a factory makes executors, as far as it lets us see it."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory if isinstance(factory, type) and issubclass(factory, AbstractEntrypointExecutor) else None


def check_factory(factory: ExecutorFactory, handler: Handler, **asked: object) -> None:
    """Refuses a handler, options or what else is `asked` of an executor, as far as its factory lets us see its class.

    Raises RegistrationError.
    """
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = {}
    while isinstance(factory, functools.partial):
        arguments, options = factory.args + arguments, factory.keywords | options
        factory = factory.func
    if not isinstance(factory, type) or not issubclass(factory, AbstractEntrypointExecutor):
        return  # a function: what it makes is checked when the worker starts
    factory.check(handler, {**asked, **options})
    try:
        inspect.signature(factory.__init__).bind(None, *arguments, None, **options)
    except TypeError as error:
        raise RegistrationError(f"{factory.__name__} cannot be made with these options: {error}") from None
