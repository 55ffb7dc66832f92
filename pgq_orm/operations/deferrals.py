"""Deferrals: jobs whose time is to come."""

from collections.abc import Sequence
from datetime import timedelta

from pgq_orm.operations.operation import Operation, read_scalar
from pgq_orm.sql import statement


def promote(batch_size: int, *, announce: bool = False) -> Operation[float | None]:
    """Makes deferred jobs ready whose time has come, and announces them to all workers if asked to.

    Answers the seconds until the next one is due: 0 if some have just been made ready, None if none is deferred.
    """
    return Operation(statement("promote"), {"batch_size": batch_size, "announce": announce}, read_scalar)


def hasten(*, ahead: timedelta, entrypoints: Sequence[str], queues: Sequence[str]) -> Operation[bool]:
    """Makes the deferred job ready that is due next, if it is within this time; answers whether there was one."""
    params = {"ahead_seconds": ahead.total_seconds(), "entrypoints": entrypoints, "queues": queues}
    return Operation(statement("hasten"), params, read_scalar)
