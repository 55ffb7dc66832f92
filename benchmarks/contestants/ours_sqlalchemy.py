"""Ours through SQLAlchemy: an AsyncSession with psycopg or asyncpg, or a Session with psycopg."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from benchmarks.contestants.conversation import WARM_UP, Loop, Stop, Stopwatch, Tally, serve, two_lots
from benchmarks.contestants.ours import PgqOrm, work
from pgq_orm import PgQueuer
from pgq_orm.sqlalchemy import Queries, SyncQueries
from tests.databases import Driver, sqlalchemy_url


class InLoop(PgqOrm):
    """An AsyncSession for each transaction, async handlers."""

    def __init__(self, dsn: str, driver: Driver) -> None:
        super().__init__(dsn)
        self.libraries = ("sqlalchemy", driver)
        self._engine = create_async_engine(sqlalchemy_url(dsn, driver))
        self._loop = Loop()

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        async def enqueue() -> None:
            for payload in watch.over(payloads, WARM_UP):
                async with AsyncSession(self._engine) as session:
                    await Queries(session).enqueue("noop", payload)
                    await session.commit()
            await self._engine.dispose()

        self._loop.run(enqueue())

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        async def enqueue() -> None:
            for lot in watch.over(two_lots(payloads), 1):
                async with AsyncSession(self._engine) as session:
                    await Queries(session).enqueue("noop", lot)
                    await session.commit()
            await self._engine.dispose()

        self._loop.run(enqueue())

    def enqueue_each(self, payloads: Iterator[bytes]) -> None:
        """All in one transaction, without ever holding all of them."""

        async def enqueue() -> None:
            async with AsyncSession(self._engine) as session:
                await Queries(session).enqueue_each(
                    {"entrypoint": "noop", "payload": payload} for payload in payloads
                )
                await session.commit()

        self._loop.run(enqueue())

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        self._loop.run(work(PgQueuer(self._engine), tally, stop, options, is_async=True))


class InThreads(PgqOrm):
    """A Session for each transaction, sync handlers."""

    libraries = ("sqlalchemy", "psycopg")

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._engine = create_engine(sqlalchemy_url(dsn))

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        for payload in watch.over(payloads, WARM_UP):
            with Session(self._engine) as session:
                SyncQueries(session).enqueue("noop", payload)
                session.commit()
        self._engine.dispose()

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        for lot in watch.over(two_lots(payloads), 1):
            with Session(self._engine) as session:
                SyncQueries(session).enqueue("noop", lot)
                session.commit()
        self._engine.dispose()

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        Loop().run(work(PgQueuer(self._engine), tally, stop, options, is_async=False))


if __name__ == "__main__":
    serve(lambda dsn, driver=None: InLoop(dsn, driver) if driver else InThreads(dsn))
