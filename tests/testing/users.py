"""Users: how a test of somebody's application uses what is tested here."""

from inspect import isawaitable
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pgq_orm.sqlalchemy import Queries, SyncQueries
from pgq_orm.testing import Attempt, assert_enqueued, assert_not_enqueued, drain
from tests.testing.shop import shop


class UsersTest:
    """A test of an application, sync or async, behind one face to be awaited."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.queries: Any = Queries(session) if isinstance(session, AsyncSession) else SyncQueries(session)

    async def enqueue(self, entrypoint: str, **options: Any) -> int:
        [job_id] = await answered(self.queries.enqueue(entrypoint, **options))
        return int(job_id)

    async def drain(self, handlers: Any = shop, **options: Any) -> list[Attempt]:
        attempts: list[Attempt] = await answered(drain(self.session, handlers, **options))
        return attempts

    async def assert_enqueued(self, target: Any, **expected: Any) -> list[Any]:
        jobs: list[Any] = await answered(assert_enqueued(self.session, target, **expected))
        return jobs

    async def assert_not_enqueued(self, *target: Any, **expected: Any) -> None:
        await answered(assert_not_enqueued(self.session, *target, **expected))

    async def rows(self, kind: Any) -> list[Any]:
        found = await answered(self.session.scalars(select(kind).order_by(kind.id)))
        return list(found)

    async def add(self, *rows: object) -> None:
        self.session.add_all(rows)
        await answered(self.session.flush())


async def answered(answer: Any) -> Any:
    return await answer if isawaitable(answer) else answer
