"""Crew: who processes a job: the executor of its queue, if the application declares one, or of its entrypoint."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from functools import partial
from typing import cast

from pgq_orm.executors import (
    AbstractEntrypointExecutor,
    EntrypointExecutorParameters,
    Executor,
    ExecutorFactory,
)
from pgq_orm.executors.abstract import check_factory
from pgq_orm.executors.functions import CallsFunctions
from pgq_orm.executors.push import PushExecutor, PushQueue, is_push_executor
from pgq_orm.journal import tell
from pgq_orm.models import Job
from pgq_orm.queues import Queue, QueueExecutor
from pgq_orm.registry import Entrypoint, Registry
from pgq_orm.store import Scopes

logger = logging.getLogger(__name__)


class Crew:
    """The executors of a worker: those of entrypoints made when it starts, those of queues when a job needs them.

    Raises RegistrationError for what an executor cannot serve.
    """

    def __init__(
        self,
        registry: Registry,
        queues: Iterable[str],
        scopes: Scopes,
        threads: futures.Executor,
        shutdown: asyncio.Event,
    ) -> None:
        self._registry = registry
        self._scopes = scopes
        self._threads = threads
        self._shutdown = shutdown
        self._by_entrypoint = {
            entrypoint.name: entrypoint.executor_factory(self._parameters(entrypoint))
            for entrypoint in registry.entrypoints.values()
        }
        self._pushing: list[Executor] = []
        self._factories = {
            queue.name: self._factory(queue, queue.executor)
            for name in queues
            if (queue := registry.queues.get(name)) is not None and queue.executor is not None
        }
        # Made when first needed: most entrypoints have no jobs in the queue, and need not suit its executor.
        self._by_queue: dict[tuple[str, str], AbstractEntrypointExecutor] = {}

    @property
    def executors(self) -> Mapping[str, AbstractEntrypointExecutor]:
        """Those of entrypoints, by name."""
        return self._by_entrypoint

    def executor_of(self, job: Job) -> AbstractEntrypointExecutor:
        """The one that is to process the job. Raises RegistrationError if its queue's cannot serve its entrypoint."""
        factory = self._factories.get(job.queue)
        if factory is None:
            return self._by_entrypoint[job.entrypoint]
        key = (job.queue, job.entrypoint)
        if key not in self._by_queue:
            self._by_queue[key] = factory(self._registry.entrypoints[job.entrypoint])
        return self._by_queue[key]

    async def close(self) -> None:
        """Releases what they hold."""
        closing = [executor.close() for executor in (*self._by_entrypoint.values(), *self._by_queue.values())]
        closing += [executor.close() for executor in self._pushing]
        for ended in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(ended, Exception):
                tell(logger, logging.ERROR, "An executor could not be closed", exc_info=ended)

    def _factory(
        self, queue: Queue, factory: QueueExecutor
    ) -> Callable[[Entrypoint], AbstractEntrypointExecutor]:
        if not is_push_executor(factory):
            return partial(self._calling, cast(ExecutorFactory, factory))
        desk = PushQueue(queue.name, queue.concurrency)
        executor = factory(desk)
        self._pushing.append(executor)
        return partial(self._pushed, executor, desk)

    def _calling(self, factory: ExecutorFactory, entrypoint: Entrypoint) -> AbstractEntrypointExecutor:
        check_factory(factory, entrypoint.handler, time_limit=entrypoint.timeout)
        if isinstance(entrypoint.executor_factory, CallsFunctions):
            factory = entrypoint.executor_factory.by(factory)
        return factory(self._parameters(entrypoint))

    def _pushed(
        self, executor: Executor, queue: PushQueue, entrypoint: Entrypoint
    ) -> AbstractEntrypointExecutor:
        return PushExecutor(
            self._parameters(entrypoint),
            executor=executor,
            queue=queue,
            modules=self._registry.functions,
            max_attempts=entrypoint.retries.max_attempts,
        )

    def _parameters(self, entrypoint: Entrypoint) -> EntrypointExecutorParameters:
        return EntrypointExecutorParameters(
            entrypoint=entrypoint.name,
            func=entrypoint.handler,
            scopes=self._scopes,
            threads=self._threads,
            shutdown=self._shutdown,
            accepts_context=entrypoint.accepts_context,
            transactional=entrypoint.transactional,
        )
