"""Scopes: a session of its own for every handler that asks for one by annotation."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from pgq_orm.errors import RegistrationError
from pgq_orm.sqlalchemy.engines import SessionFactory
from pgq_orm.sqlalchemy.transactions import AsyncTransaction, Begun, SyncTransaction, require_unaborted
from pgq_orm.worker.pools import Pool


class EngineScopes:
    """Opens sessions on the application's engine, by its own factory where that makes what a handler asks for:
    committed when the handler returns, rolled back when it raises.
    """

    def __init__(self, engine: AsyncEngine | Engine, factory: SessionFactory | None = None) -> None:
        self._engine = engine
        self._factory = factory

    def claims(self, annotation: object, *, is_async: bool) -> bool:
        if not is_session(annotation, is_async=is_async):
            return False
        needed = AsyncEngine if is_async else Engine
        if not isinstance(self._engine, needed):
            raise RegistrationError(
                f"the worker has an {type(self._engine).__name__}, which makes no such sessions: give PgQueuer the "
                f"{needed.__name__}, or make the handler "
                + ("a plain `def` with a Session" if is_async else "an `async def` with an AsyncSession")
            )
        return True

    def in_loop(self, wanted: Mapping[str, object]) -> AbstractAsyncContextManager[Mapping[str, Any]] | None:
        return self._async_sessions(wanted) if wanted else None

    def in_thread(self, wanted: Mapping[str, object]) -> AbstractContextManager[Mapping[str, Any]] | None:
        return self._sessions(wanted) if wanted else None

    def pool(self) -> Pool | None:
        pool = self._engine.pool
        if not isinstance(pool, QueuePool) or pool._max_overflow < 0:
            return None
        return Pool(
            name="the engine's pool",
            connections=pool.size() + pool._max_overflow,
            reckoning=f"pool_size {pool.size()} and max_overflow {pool._max_overflow}",
            patience_seconds=pool.timeout(),
            remedy="pool_size= of the engine",
        )

    def connections_of(self, wanted: Mapping[str, object]) -> int:
        return len(wanted)

    def check_transactional(self, wanted: Mapping[str, object]) -> None:
        if len(wanted) != 1:
            found = f"it has {len(wanted)}: {', '.join(wanted)}" if wanted else "it has none"
            raise RegistrationError(
                "such a handler needs exactly one parameter that is annotated as an AsyncSession or a Session, in "
                f"whose transaction its job ends; {found}"
            )

    @asynccontextmanager
    async def transaction_in_loop(self, wanted: Mapping[str, Any]) -> AsyncIterator[AsyncTransaction]:
        ((name, kind),) = wanted.items()
        session = self._open(kind, expire_on_commit=False)
        transaction = AsyncTransaction(name, session)
        async with session:
            yield transaction

    @contextmanager
    def transaction_in_thread(self, wanted: Mapping[str, Any]) -> Iterator[SyncTransaction]:
        ((name, kind),) = wanted.items()
        session = self._open(kind)
        transaction = SyncTransaction(name, session)
        with session:
            yield transaction

    @asynccontextmanager
    async def _async_sessions(self, wanted: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            sessions: dict[str, AsyncSession] = {}
            begun: dict[AsyncSession, Begun] = {}
            for name, kind in wanted.items():
                # expire_on_commit: after a commit of its own an async handler may still read what it has loaded
                session = self._open(kind, expire_on_commit=False)
                begun[session] = Begun(session.sync_session)
                # Not `session.begin()`: a handler may commit on its own and go on.
                sessions[name] = await stack.enter_async_context(session)
            yield sessions
            unfinished = [session for session in begun if session.in_transaction()]
            for session in unfinished:
                await session.run_sync(_prepare, begun[session])
            for session in unfinished:
                await session.commit()

    @contextmanager
    def _sessions(self, wanted: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        with ExitStack() as stack:
            sessions: dict[str, Session] = {}
            begun: dict[Session, Begun] = {}
            for name, kind in wanted.items():
                session = self._open(kind)
                begun[session] = Begun(session)
                sessions[name] = stack.enter_context(session)
            yield sessions
            unfinished = [session for session in begun if session.in_transaction()]
            for session in unfinished:
                _prepare(session, begun[session])
            for session in unfinished:
                session.commit()

    def _open(self, kind: Any, **options: Any) -> Any:
        if self._factory is not None and issubclass(self._factory.class_, kind):
            return self._factory()
        return kind(self._engine, **options)


def _prepare(session: Session, begun: Begun) -> None:
    """Has whatever may fail do so now: once another session of the handler has committed, it is too late."""
    require_unaborted(session, begun)
    session.flush()


def is_session(annotation: object, *, is_async: bool) -> bool:
    """Whether the annotation is that of a session. Raises RegistrationError for one that such a handler cannot use."""
    if not isinstance(annotation, type) or not issubclass(annotation, AsyncSession | Session):
        return False
    if issubclass(annotation, AsyncSession) != is_async:
        raise RegistrationError(
            "a Session would block the event loop: make it a plain `def`, which is run in a thread"
            if is_async
            else "a plain function cannot await an AsyncSession: make it `async def`"
        )
    return True
