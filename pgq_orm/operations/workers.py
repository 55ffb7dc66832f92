"""Workers: that they live, which leases they hold, and what becomes of the jobs of the dead."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from pgq_orm.operations.operation import Operation, Row, read_nothing
from pgq_orm.sql import statement


class Lease(NamedTuple):
    """A worker's right to a job."""

    id: int
    lease: int


class Notice(NamedTuple):
    """What a heartbeat learns: 'beaten', 'dead' of another worker, 'pooled' of its session, or 'canceling', 'lost' or
    'returned' of a lease.
    """

    notice: str
    id: int | None
    lease: int | None


class Rescued(NamedTuple):
    """A job that was taken from a dead worker: queued again, or ended."""

    id: int
    is_queued: bool


def register_worker(
    worker_id: UUID,
    *,
    lease_seconds: float,
    pid: int,
    hostname: str,
    queues: Sequence[str],
    entrypoints: Sequence[str],
) -> Operation[None]:
    """Tells that a worker lives."""
    params = {
        "worker_id": worker_id,
        "lease_seconds": lease_seconds,
        "pid": pid,
        "hostname": hostname,
        "queues": list(queues),
        "entrypoints": list(entrypoints),
    }
    return Operation(statement("register_worker"), params, read_nothing)


def unregister_worker(worker_id: UUID) -> Operation[None]:
    """Tells that a worker has ended."""
    return Operation(statement("unregister_worker"), {"worker_id": worker_id}, read_nothing)


def beat(worker_id: UUID, leases: Sequence[Lease], *, unheld_seconds: float) -> Operation[list[Notice]]:
    """Keeps a worker alive, names the leases it holds, and answers what it must know about them."""
    params = {"worker_id": worker_id, "unheld_seconds": unheld_seconds, **_lease_params(leases)}
    return Operation(statement("beat"), params, _notices)


def rescue(*, crash_limit: int, batch_size: int) -> Operation[list[Rescued]]:
    """Takes back the jobs of dead workers; a job ends after `crash_limit` attempts unless it has its own limit."""
    return Operation(statement("rescue"), {"crash_limit": crash_limit, "batch_size": batch_size}, _rescued)


def _lease_params(leases: Sequence[Lease]) -> dict[str, list[int]]:
    return {"ids": [held.id for held in leases], "leases": [held.lease for held in leases]}


def _notices(rows: Sequence[Row]) -> list[Notice]:
    return [Notice(*row) for row in rows]


def _rescued(rows: Sequence[Row]) -> list[Rescued]:
    return [Rescued(job_id, is_queued) for job_id, is_queued, _ in rows if job_id is not None]
