"""Executors: how a picked job is processed. The default one calls the handler."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeAlias

from pgq_orm.handlers import Handler, Signature, is_async, read_signature
from pgq_orm.models import Context, Job
from pgq_orm.store import Scopes


@dataclass(frozen=True, slots=True)
class EntrypointExecutorParameters:
    """What an executor is made from: the handler it serves, and the worker's means of calling it."""

    entrypoint: str
    func: Handler
    scopes: Scopes
    threads: ThreadPoolExecutor
    """Where sync handlers run, one thread for each job in flight."""
    shutdown: asyncio.Event
    """Set when the worker is asked to end."""


class AbstractEntrypointExecutor(ABC):
    """Processes the jobs of one entrypoint. Subclass it, implement `execute`, pass it as `executor_factory`."""

    def __init__(self, parameters: EntrypointExecutorParameters) -> None:
        self.parameters = parameters

    @abstractmethod
    async def execute(self, job: Job, context: Context) -> Any:
        """Processes one job. Returning ends it as successful, with the returned value as its result if JSON can
        express it; raising ends the attempt as failed. Runs on the worker's event loop: do not block.
        """


ExecutorFactory: TypeAlias = Callable[[EntrypointExecutorParameters], AbstractEntrypointExecutor]


class EntrypointExecutor(AbstractEntrypointExecutor):
    """Calls the handler: an async one on the worker's event loop, a sync one in a thread."""

    def __init__(self, parameters: EntrypointExecutorParameters) -> None:
        super().__init__(parameters)
        self._handler = parameters.func
        self._signature: Signature = read_signature(parameters.func, parameters.scopes)
        self._call = self._call_async if is_async(parameters.func) else self._call_in_thread

    async def execute(self, job: Job, context: Context) -> Any:
        return await self._call(job, context)

    async def _call_async(self, job: Job, context: Context) -> Any:
        positional, named = self._signature.arguments(context.schedule or job, context)
        scope = self.parameters.scopes.in_loop(self._signature.resources)
        if scope is None:
            return await self._handler(*positional, **named)
        async with scope as resources:
            return await self._handler(*positional, **named, **resources)

    async def _call_in_thread(self, job: Job, context: Context) -> Any:
        def call() -> Any:
            positional, named = self._signature.arguments(context.schedule or job, context)
            scope = self.parameters.scopes.in_thread(self._signature.resources) or nullcontext({})
            with scope as resources:
                return self._handler(*positional, **named, **resources)

        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self.parameters.threads, copy_context().run, _catching_exits, call)
        return await _until_ended(running)


class HandlerExited(Exception):  # noqa: N818 - what happened, not a fault of the worker
    """A sync handler raised what a future cannot carry out of its thread, such as SystemExit or StopIteration."""


def _catching_exits(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration) as error:
        raise HandlerExited(f"the handler raised {type(error).__name__}({error})") from error


async def _until_ended(running: "asyncio.Future[Any]") -> Any:
    """Waits until the thread has really ended: cancelling does not stop it, and its slot stays taken until then."""
    was_cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            if was_cancelled is not None:
                raise  # for the second time: the loop itself is ending, and the thread is left behind
            was_cancelled = error
        except BaseException:
            break
    if was_cancelled is not None:
        running.exception()  # retrieved, so that asyncio does not report it as forgotten
        raise was_cancelled
    return running.result()
