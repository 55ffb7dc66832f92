"""Pools: says at a worker's start that its handlers may have to wait for connections of the application's pool."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pgq_orm.executors import AbstractEntrypointExecutor, EntrypointExecutor
from pgq_orm.journal import tell
from pgq_orm.registry import Entrypoint, Registry
from pgq_orm.store import Scopes
from pgq_orm.worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pool:
    """Where handlers' connections come from, and how many there are at the most."""

    name: str
    connections: int
    reckoning: str
    """Where that number comes from."""
    patience_seconds: float
    """How long a handler waits for a connection before it fails."""
    remedy: str
    """What makes it larger."""


@runtime_checkable
class Pooled(Protocol):
    """Scopes whose handlers may have to share the connections of a pool."""

    def pool(self) -> Pool | None:
        """The pool; None if there is none, or if it has no limit."""
        ...

    def connections_of(self, wanted: Mapping[str, object]) -> int:
        """How many connections of the pool a handler holds that asks for these sessions (name to annotation)."""
        ...


def warn_of_shortage(
    scopes: Scopes,
    registry: Registry,
    executors: Mapping[str, AbstractEntrypointExecutor],
    settings: WorkerSettings,
) -> None:
    """Warns if the handlers, which these executors call, may want more connections at a time than the pool has."""
    if not isinstance(scopes, Pooled) or (pool := scopes.pool()) is None:
        return
    held = {
        registry.entrypoints[name]: scopes.connections_of(executor.resources)
        for name, executor in executors.items()
        if isinstance(executor, EntrypointExecutor)
    }
    slots = min(settings.max_concurrent_tasks, _slots_of_queues(registry, settings))
    wanted = min(
        slots * max(held.values(), default=0),
        sum(number * _limit(entrypoint) for entrypoint, number in held.items() if number),
    )
    if wanted > pool.connections:
        tell(
            logger,
            logging.WARNING,
            "Handlers may have to wait for a connection: they may want %d at a time, and %s has %d (%s). "
            "One that waits for more than %g s fails. Enlarge the pool (%s), or let fewer jobs run at a time "
            "(--concurrency or max_concurrent_tasks, which is %d)",
            wanted,
            pool.name,
            pool.connections,
            pool.reckoning,
            pool.patience_seconds,
            pool.remedy,
            settings.max_concurrent_tasks,
        )


def _slots_of_queues(registry: Registry, settings: WorkerSettings) -> float:
    declared = [registry.queues.get(name) for name in settings.queues]
    return sum(math.inf if queue is None else queue.concurrency or math.inf for queue in declared)


def _limit(entrypoint: Entrypoint) -> float:
    limit = None if entrypoint.limit is None else entrypoint.limit.concurrency
    return math.inf if limit is None else limit
