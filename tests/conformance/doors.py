"""Doors: every way in which a job comes into the table, each through a caller's transaction.

To add one, write how it puts a job, and name it in DOORS with the callers that have it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from pgq_orm.sqlalchemy import Job
from tests.conformance.callers import CALLERS, Caller, OpenCaller

Put: TypeAlias = Callable[[Any, str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Door:
    """A caller, and the way in which it enqueues."""

    caller: Caller
    _put: Put

    async def put(self, entrypoint: str) -> None:
        """Enqueues one job; it is on its way to the database, but not committed."""
        await self._put(self.caller, entrypoint)


async def by_queries(caller: Caller, entrypoint: str) -> None:
    await caller.enqueue(entrypoint)


async def by_sql(caller: Caller, entrypoint: str) -> None:
    await caller.execute(f"INSERT INTO pgq_job (entrypoint) VALUES ('{entrypoint}')")


async def by_add(caller: Any, entrypoint: str) -> None:
    caller.carrier.add(Job(entrypoint=entrypoint))
    await caller.call(caller.carrier.flush)


async def by_add_all(caller: Any, entrypoint: str) -> None:
    caller.carrier.add_all([Job(entrypoint=entrypoint)])
    await caller.call(caller.carrier.flush)


_SESSIONS = {name: caller for name, caller in CALLERS.items() if "session" in name}
_WAYS: dict[str, tuple[Put, dict[str, OpenCaller]]] = {
    "enqueue": (by_queries, CALLERS),
    "plain SQL": (by_sql, CALLERS),
    "add": (by_add, _SESSIONS),
    "add_all": (by_add_all, _SESSIONS),
}

DOORS = {
    f"{way}, {name}": (put, open_caller)
    for way, (put, callers) in _WAYS.items()
    for name, open_caller in callers.items()
}


@asynccontextmanager
async def opened(dsn: str, put: Put, open_caller: OpenCaller) -> AsyncIterator[Door]:
    async with open_caller(dsn) as caller:
        yield Door(caller, put)
