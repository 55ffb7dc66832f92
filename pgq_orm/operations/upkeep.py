"""Upkeep: the tables as such, their version and their size, and the database's clock."""

from datetime import datetime, timedelta

from pgq_orm.operations.operation import Operation, read_scalar
from pgq_orm.sql import statement


def prune(*, retention: timedelta, batch_size: int) -> Operation[int]:
    """Removes up to `batch_size` of the oldest log rows, those older than `retention`; answers how many."""
    params = {"retention_seconds": retention.total_seconds(), "batch_size": batch_size}
    return Operation(statement("prune"), params, read_scalar)


def has_version() -> Operation[bool]:
    """Whether the database has a schema version to read."""
    return Operation(statement("has_version"), {}, read_scalar)


def read_version() -> Operation[int | None]:
    """The installed version of the schema, None if the tables are there but nobody installed them."""
    return Operation(statement("read_version"), {}, read_scalar)


def read_clock() -> Operation[datetime]:
    """The database's clock."""
    return Operation(statement("read_clock"), {}, read_scalar)
