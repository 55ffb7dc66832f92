"""Session: carries an operation out on whatever the caller has in hand, inside the caller's transaction."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Result, inspect
from sqlalchemy.exc import (
    InvalidRequestError,
    ProgrammingError,
    ResourceClosedError,
    SQLAlchemyError,
    UnboundExecutionError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

import pgq_orm.steps
from pgq_orm.errors import PgqError, SchemaError, SessionError
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.clauses import clause
from pgq_orm.sqlalchemy.models import Job
from pgq_orm.sqlalchemy.remedies import REMEDIES
from pgq_orm.steps import Steps

T = TypeVar("T")
SyncTarget: TypeAlias = Session | Connection | scoped_session[Any]
AsyncTarget: TypeAlias = AsyncSession | AsyncConnection | async_scoped_session[Any]

JOBS = inspect(Job)
"""The mapper, which is what a session's own `get_bind` expects of SQLAlchemy."""
ON_JOBS = {"mapper": JOBS}
"""Which of a session's several databases: the one that Job is bound to."""

_UNDEFINED_TABLE = "42P01"
"""PostgreSQL's SQLSTATE."""


def run(target: SyncTarget, operation: Operation[T]) -> T:
    """Executes the operation on the session or connection: in its transaction, which begins if none has."""
    carrier = target() if isinstance(target, scoped_session) else target
    try:
        if isinstance(carrier, Session):
            result = carrier.execute(clause(operation.statement), operation.params, bind_arguments=ON_JOBS)
        else:
            result = carrier.execute(clause(operation.statement), operation.params)
        return operation.read(_rows(result))
    except SQLAlchemyError as error:
        if explained := _explained(error):
            raise explained from error
        raise


def carry_out(target: SyncTarget, steps: Steps[T]) -> T:
    """Executes one operation after another on the session or connection."""
    return pgq_orm.steps.carry_out(steps, partial(run, target))


async def run_async(target: AsyncTarget, operation: Operation[T]) -> T:
    """Executes the operation on the session or connection: in its transaction, which begins if none has."""
    carrier = target() if isinstance(target, async_scoped_session) else target
    return await carrier.run_sync(run, operation)


async def carry_out_async(target: AsyncTarget, steps: Steps[T]) -> T:
    """Executes one operation after another on the session or connection, all in one greenlet: making one takes time."""
    carrier = target() if isinstance(target, async_scoped_session) else target
    return await carrier.run_sync(carry_out, steps)


def missing_tables(error: object) -> SchemaError | None:
    """SchemaError for a driver's error about a table that is missing; None for any other."""
    if getattr(error, "sqlstate", None) != _UNDEFINED_TABLE:
        return None
    return SchemaError(f"the database has no pgq-orm tables: run {REMEDIES.install}")


def require_sync(target: object) -> SyncTarget:
    """The target as it is. Raises SessionError for what carries no transaction, or none of PostgreSQL."""
    if isinstance(target, scoped_session):
        # checked now, and asked again at each statement: another thread has another session
        _require_postgresql(target())
        return target
    if isinstance(target, Session | Connection):
        _require_postgresql(target)
        return target
    if isinstance(target, AsyncSession | AsyncConnection | async_scoped_session):
        raise SessionError(f"SyncQueries cannot await an {type(target).__name__}: use Queries with it")
    raise SessionError(_wrong_type("SyncQueries", "a Session or a Connection", target, Engine))


def require_async(target: object) -> AsyncTarget:
    """The target as it is. Raises SessionError for what carries no transaction, or none of PostgreSQL."""
    if isinstance(target, async_scoped_session):
        # checked now, and asked again at each statement: another task has another session
        _require_postgresql(target().sync_session)
        return target
    if isinstance(target, AsyncSession | AsyncConnection):
        _require_postgresql(
            target.sync_session if isinstance(target, AsyncSession) else target.sync_connection
        )
        return target
    if isinstance(target, Session | Connection | scoped_session):
        raise SessionError(f"Queries awaits, which a {type(target).__name__} cannot: use SyncQueries with it")
    raise SessionError(_wrong_type("Queries", "an AsyncSession or an AsyncConnection", target, AsyncEngine))


def _wrong_type(name: str, expected: str, target: object, engine: type[Any]) -> str:
    if isinstance(target, engine):
        return (
            f"{name} joins a transaction, and an {engine.__name__} has none: "
            "open a session on it, or a connection with engine.begin()"
        )
    return (
        f"{name} takes {expected} of SQLAlchemy, not a {type(target).__module__}.{type(target).__qualname__}"
    )


def _require_postgresql(target: Session | Connection | None) -> None:
    if target is None:
        raise SessionError(
            "the AsyncConnection has not been started: use it inside `async with engine.begin()`"
        )
    try:
        dialect = (target.get_bind(mapper=JOBS) if isinstance(target, Session) else target).dialect
    except UnboundExecutionError as error:
        raise SessionError(
            "the session is bound to no database for pgq-orm's tables: give it a default engine, "
            "or add pgq_orm.sqlalchemy.Job to its binds"
        ) from error
    if dialect.name != "postgresql":
        raise SessionError(f"the session is bound to {dialect.name}; the queue needs PostgreSQL")


def _explained(error: SQLAlchemyError) -> PgqError | None:
    """In our words what the user can mend; None for what SQLAlchemy explains better."""
    if isinstance(error, InvalidRequestError):
        if isinstance(error, ResourceClosedError) or "permanently closed" in str(error):
            return _closed(error)
    elif isinstance(error, ProgrammingError):
        return missing_tables(error.orig)
    return None


def _closed(error: InvalidRequestError) -> SessionError:
    return SessionError(
        f"the session or connection is closed, nothing was sent: {error}; "
        "enqueue before leaving the `with` block that opened it"
    )


def _rows(result: Result[Any]) -> Sequence[Any]:
    return result.all() if isinstance(result, CursorResult) and result.returns_rows else ()
