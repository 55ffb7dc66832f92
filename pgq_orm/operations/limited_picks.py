"""Limited picks: jobs of entrypoints with limits, as far as these allow, and what holds back the others."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from pgq_orm.limits import Limit
from pgq_orm.models import Job
from pgq_orm.operations.jobs import read_jobs
from pgq_orm.operations.operation import Operation, Row
from pgq_orm.sql import statement


class Verdict(StrEnum):
    """Why a worker was given no more jobs of a limited entrypoint; the more urgent to look again, the earlier."""

    OPEN = "open"
    """Others are ready, and would have been given to a worker with more room."""
    BUSY = "busy"
    """Another worker was being answered."""
    THROTTLED = "throttled"
    """As many have started as may; the next one may after the wait."""
    FULL = "full"
    """As many run as may."""
    EMPTY = "empty"
    """No other is ready."""


class Hold(NamedTuple):
    """What holds back the ready jobs of a limited entrypoint that were not picked."""

    verdict: Verdict
    wait_seconds: float | None = None


class LimitedPick(NamedTuple):
    """What a look at limited entrypoints came to."""

    jobs: list[Job]
    holds: dict[str, Hold]
    """One for each entrypoint asked for."""


def pick_limited(
    worker_id: UUID, queues: Sequence[str], limits: Mapping[str, Limit], batch_size: int
) -> Operation[LimitedPick]:
    """Picks up to `batch_size` jobs of entrypoints with limits, as far as these allow among all workers.

    Jobs come from the first of the queues that has some, and from entrypoints in the order given.
    """
    buckets = [limit.bucket for limit in limits.values()]
    params = {
        "worker_id": worker_id,
        "queues": list(queues),
        "entrypoints": list(limits),
        "concurrency_limits": [limit.concurrency for limit in limits.values()],
        "key_limits": [limit.per_key for limit in limits.values()],
        "capacities": [bucket and bucket.capacity for bucket in buckets],
        "refills": [bucket and bucket.refill for bucket in buckets],
        "batch_size": batch_size,
    }
    return Operation(statement("pick_limited"), params, _limited_pick)


def _limited_pick(rows: Sequence[Row]) -> LimitedPick:
    jobs = read_jobs([job for _, _, _, *job in rows if job[0] is not None])
    holds = {name: Hold(Verdict(verdict), wait) for name, verdict, wait, *_ in rows}
    return LimitedPick(jobs, holds)
