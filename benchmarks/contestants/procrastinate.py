"""Procrastinate, with its psycopg pool, woken by NOTIFY, and many jobs at a time."""

from collections.abc import Mapping
from typing import Any

import procrastinate

from benchmarks.contestants.conversation import WARM_UP, Loop, Stop, Stopwatch, Tally, serve, two_lots

CONCURRENCY = 20
"""Measured: more or fewer change its drain by less than the noise."""


class Procrastinate:
    libraries = ("procrastinate", "psycopg")
    fill = (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)"
        " SELECT 'default', 'noop', jsonb_build_object('number', number),"
        " CASE WHEN %(delay)s::float8 > 0 THEN now() + make_interval(secs => %(delay)s::float8) END"
        " FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number"
    )
    left = (
        "SELECT count(*) FROM procrastinate_jobs"
        " WHERE status IN ('todo', 'doing') AND (scheduled_at IS NULL OR scheduled_at <= now())"
    )
    done = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"

    def __init__(self, dsn: str) -> None:
        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))
        self._loop = Loop()

    def install(self) -> None:
        async def install() -> None:
            async with self._app.open_async():
                await self._app.schema_manager.apply_schema_async()

        self._loop.run(install())

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        async def enqueue() -> None:
            async with self._app.open_async():
                for payload in watch.over(payloads, WARM_UP):
                    await self._app.configure_task("noop").defer_async(number=int(payload))

        self._loop.run(enqueue())

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        async def enqueue() -> None:
            async with self._app.open_async():
                for lot in watch.over(two_lots(payloads), 1):
                    jobs = [{"number": int(payload)} for payload in lot]
                    await self._app.configure_task("noop").batch_defer_async(*jobs)

        self._loop.run(enqueue())

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        @self._app.task(name="noop")  # type: ignore[untyped-decorator,unused-ignore]
        async def noop(number: int) -> None:
            tally(number)

        async def work() -> None:
            async with self._app.open_async():
                worker = self._app._worker(concurrency=CONCURRENCY, install_signal_handlers=False)
                stop.then(worker.stop)
                await worker.run()

        self._loop.run(work())


if __name__ == "__main__":
    serve(Procrastinate)
