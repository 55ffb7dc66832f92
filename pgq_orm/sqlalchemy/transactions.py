"""Transactions: the session in which a handler's writes and the end of its job commit together."""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from pgq_orm.errors import CommitRefused, SessionError, TransactionAborted
from pgq_orm.operations import Operation
from pgq_orm.sqlalchemy.session import run, run_async

T = TypeVar("T")
SessionT = TypeVar("SessionT", bound=Session | AsyncSession)

_ABORTED = "25P02"
"""PostgreSQL's SQLSTATE for a statement in a transaction that an error has ended."""
_IN_ERROR = 3
"""libpq's PQTRANS_INERROR, which psycopg tells without asking the server."""


class Begun:
    """The connections on which a session has begun a transaction: one for each of its databases that it has used.

    Told by events, for a session with several (`binds`, `get_bind`) does not say which it has used.
    """

    def __init__(self, session: Session) -> None:
        self._connections: set[Connection] = set()
        event.listen(session, "after_begin", self._add)

    def __iter__(self) -> Iterator[Connection]:
        return (connection for connection in self._connections if connection.in_transaction())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _add(self, session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        self._connections = {*self, connection}  # without those of transactions that have ended


class _Guarded(Generic[SessionT]):
    """A handler's session, which it cannot commit by itself."""

    def __init__(self, name: str, session: SessionT) -> None:
        self.resources: Mapping[str, Any] = {name: session}
        self._session = session
        self._is_ending = False
        sync_session = session.sync_session if isinstance(session, AsyncSession) else session
        # A factory may leave it to its callers to begin; this transaction is not the handler's to begin.
        sync_session.autobegin = True
        self._begun = Begun(sync_session)
        event.listen(sync_session, "after_begin", _require_transaction)
        event.listen(sync_session, "before_commit", self._refuse_commit)

    def _refuse_commit(self, session: Session) -> None:
        if self._is_ending or session.in_nested_transaction():
            return
        raise CommitRefused(
            "a transactional handler's session is committed together with its job, once the handler has returned: "
            "leave out commit() and begin(), use begin_nested() for a part that may be rolled back alone, or register "
            "the handler without transactional=True"
        )


class SyncTransaction(_Guarded[Session]):
    """The transaction of a `Session`."""

    def run(self, operation: Operation[T]) -> T:
        self._session.flush()
        return run(self._session, operation)

    def commit(self) -> None:
        if len(self._begun) > 1:  # where there is but one, the job has ended in it
            require_unaborted(self._session, self._begun)
        self._is_ending = True
        self._session.commit()


class AsyncTransaction(_Guarded[AsyncSession]):
    """The transaction of an `AsyncSession`."""

    async def run(self, operation: Operation[T]) -> T:
        await self._session.flush()
        return await run_async(self._session, operation)

    async def commit(self) -> None:
        if len(self._begun) > 1:
            await self._session.run_sync(require_unaborted, self._begun)
        self._is_ending = True
        await self._session.commit()


def require_unaborted(session: Session, begun: Begun) -> None:
    """Refuses to commit what PostgreSQL would silently roll back. Raises TransactionAborted.

    A transaction in which a statement failed is aborted; its COMMIT is answered by ROLLBACK, and no driver complains.
    """
    if not session.is_active or any(map(_is_aborted, begun)):
        raise TransactionAborted(
            "the handler returned, but an error that it caught had aborted its session's transaction, so nothing that "
            "it wrote can be kept: let the error out, or put the statement that may fail into begin_nested()"
        )


def _is_aborted(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return False
    driver = connection.connection.driver_connection
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is not None:
        return bool(status == _IN_ERROR)
    try:
        connection.exec_driver_sql("SELECT 1")  # asyncpg knows, but does not tell
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _ABORTED:
            return True
        raise
    return False


def _require_transaction(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        raise SessionError(
            "a transactional handler needs a transaction, and its session's connection has none, because it is in "
            "autocommit mode: give PgQueuer an engine without isolation_level='AUTOCOMMIT', or register the handler "
            "without transactional=True"
        )
