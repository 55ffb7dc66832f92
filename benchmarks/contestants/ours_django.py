"""Ours through Django: `enqueue` or `aenqueue`, and a worker with sync or async handlers."""

from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings

from benchmarks.contestants.conversation import WARM_UP, Loop, Stop, Stopwatch, Tally, serve, two_lots
from benchmarks.contestants.ours import PgqOrm, work
from pgq_orm import PgQueuer
from tests.databases import django_database


class Django(PgqOrm):
    """A configured project; every enqueue outside of `atomic()` is a transaction of its own."""

    libraries = ("django", "psycopg")

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        settings.configure(
            DATABASES={"default": django_database(dsn)},
            INSTALLED_APPS=["pgq_orm_django"],
            USE_TZ=True,
            PGQ={"STRICT_ENTRYPOINTS": False},
        )
        django.setup()
        self._loop = Loop()


class Sync(Django):
    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        from django.db import connection

        from pgq_orm_django import enqueue

        for payload in watch.over(payloads, WARM_UP):
            enqueue("noop", payload)
        connection.close()

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        from django.db import connection

        from pgq_orm_django import enqueue

        for lot in watch.over(two_lots(payloads), 1):
            enqueue("noop", lot)
        connection.close()

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        from pgq_orm_django.store import DatabaseStore

        self._loop.run(work(PgQueuer(DatabaseStore("default")), tally, stop, options, is_async=False))


class Async(Django):
    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        from pgq_orm_django import aenqueue

        async def enqueue() -> None:
            for payload in watch.over(payloads, WARM_UP):
                await aenqueue("noop", payload)

        self._loop.run(enqueue())

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        from pgq_orm_django import aenqueue

        async def enqueue() -> None:
            for lot in watch.over(two_lots(payloads), 1):
                await aenqueue("noop", lot)

        self._loop.run(enqueue())

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        from pgq_orm_django.store import DatabaseStore

        self._loop.run(work(PgQueuer(DatabaseStore("default")), tally, stop, options, is_async=True))


if __name__ == "__main__":
    serve(lambda dsn, handler: Async(dsn) if handler == "async" else Sync(dsn))
