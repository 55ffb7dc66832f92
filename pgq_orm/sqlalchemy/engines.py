"""Engines: which one is behind a session."""

from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgq_orm.sqlalchemy.session import JOBS, AsyncTarget, SyncTarget, require_async, require_sync

SessionFactory: TypeAlias = async_sessionmaker[Any] | sessionmaker[Any]


def engine_behind(target: AsyncTarget | SyncTarget) -> AsyncEngine | Engine:
    """The engine on which a session or connection reaches the queue's tables."""
    match target:
        case async_scoped_session() | scoped_session():
            return engine_behind(target())
        case AsyncSession():
            # a facade like any other: what counts is the engine that is behind it
            return AsyncEngine(target.sync_session.get_bind(mapper=JOBS).engine)
        case Session():
            return target.get_bind(mapper=JOBS).engine
        case AsyncConnection() | Connection():
            return target.engine


def engine_of(factory: SessionFactory) -> AsyncEngine | Engine:
    """The engine on which a factory's sessions reach the queue's tables.

    Raises SessionError if that is none, or none of PostgreSQL. Opens no connection.
    """
    session = factory()
    return engine_behind(
        require_async(session) if isinstance(session, AsyncSession) else require_sync(session)
    )
