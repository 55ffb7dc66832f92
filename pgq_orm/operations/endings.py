"""Endings: how attempts ended, each under the lease that gave the right to it."""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple, TypeAlias
from uuid import UUID

from pgq_orm.operations.operation import (
    Operation,
    Row,
    array_literal,
    columns,
    none_if_empty,
    read_id_set,
    read_ids,
    read_scalar,
)
from pgq_orm.operations.workers import Lease
from pgq_orm.sql import statement


class Outcome(NamedTuple):
    """How an attempt ended for good, as `finish.sql` writes it."""

    id: int
    lease: int
    status: str
    wait_seconds: float
    duration_seconds: float
    result: str | None = None
    error: str | None = None
    traceback: str | None = None


class FailedAttempt(NamedTuple):
    """How an attempt ended that is to be made again, as `retry.sql` writes it."""

    id: int
    lease: int
    delay_seconds: float
    duration_seconds: float
    error: str
    traceback: str


class Release(NamedTuple):
    """A job that is given back as if it had not been picked, to be picked again after the delay."""

    id: int
    lease: int
    delay_seconds: float = 0.0


class Settled(NamedTuple):
    """An attempt about which nothing is to be written: it has ended in its handler's transaction, or elsewhere."""

    id: int
    lease: int


Ended: TypeAlias = Outcome | FailedAttempt | Release | Settled
"""How an attempt ended: for good, to be made again, given back as if it had never begun, or by itself."""


def finish(outcomes: Sequence[Outcome]) -> Operation[set[int]]:
    """Ends attempts for good; answers the ids whose lease still stood."""
    # In one order: who locks several jobs must never wait in a circle with another who does.
    in_order = sorted(outcomes, key=attrgetter("id"))
    ids, leases, statuses, waits, durations, results, errors, tracebacks = columns(in_order)
    params = {
        "ids": array_literal("%d", ids),
        "leases": array_literal("%d", leases),
        "statuses": array_literal("%s", statuses),
        "waits_seconds": array_literal("%.6f", waits),
        "durations_seconds": array_literal("%.6f", durations),
        "results": none_if_empty(results),
        "errors": none_if_empty(errors),
        "tracebacks": none_if_empty(tracebacks),
    }
    return Operation(statement("finish"), params, read_id_set)


def retry(worker_id: UUID, attempts: Sequence[FailedAttempt]) -> Operation[set[int]]:
    """Queues jobs again after a failed attempt; answers the ids whose lease still stood."""
    ids, leases, delays, durations, errors, tracebacks = columns(attempts)
    params = {
        "worker_id": worker_id,
        "ids": ids,
        "leases": leases,
        "delays_seconds": delays,
        "durations_seconds": durations,
        "errors": errors,
        "tracebacks": tracebacks,
    }
    return Operation(statement("retry"), params, read_ids)


def release(jobs: Sequence[Release]) -> Operation[set[int]]:
    """Gives jobs back unharmed; answers the ids whose lease still stood."""
    ids, leases, delays = columns(jobs)
    return Operation(statement("release"), {"ids": ids, "leases": leases, "delays_seconds": delays}, read_ids)


def read_ending(lease: Lease) -> Operation[bool | None]:
    """Whether an attempt has ended; None while an open transaction, which may be about to end it, holds the job."""
    return Operation(statement("read_ending"), lease._asdict(), read_scalar)


def read_held(job_ids: Sequence[int]) -> Operation[set[int]]:
    """Which of these jobs cannot be ended at the moment, because somebody's open transaction holds them."""
    return Operation(statement("read_held"), {"ids": list(job_ids)}, read_ids)


def cancel(job_ids: Sequence[int]) -> Operation[dict[int, bool]]:
    """Cancels jobs; answers, for each that was found, whether it was running and was asked to stop."""
    return Operation(statement("cancel"), {"ids": list(job_ids)}, _running_by_id)


def _running_by_id(rows: Sequence[Row]) -> dict[int, bool]:
    return {row[0]: row[1] for row in rows}
