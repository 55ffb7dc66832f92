"""Waking: 16 connections that commit one job after another, with wake-ups and without.

The loops run in the server, as a procedure: a client's own time between two commits would hide what a wake-up costs.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg

from benchmarks.bench import Bench
from benchmarks.lineup import Contestant

ENQUEUERS = 16

_PROCEDURE = """
    CREATE PROCEDURE enqueue_for(seconds double precision, INOUT committed bigint) LANGUAGE plpgsql AS $$
    DECLARE
        ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    BEGIN
        WHILE clock_timestamp() < ends LOOP
            INSERT INTO pgq_job (entrypoint, payload) VALUES ('noop', '0');
            COMMIT;
            committed := committed + 1;
        END LOOP;
    END
    $$
"""


def measure(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """Commits a second with the triggers and without them."""
    figures: dict[str, float | None] = {}
    for is_on in (True, False):
        with bench.stage(contestant) as stage:
            stage.connection.execute(_PROCEDURE)
            if not is_on:
                stage.connection.execute("ALTER TABLE pgq_job DISABLE TRIGGER USER")
            with _somebody_listens(stage.process.dsn):
                committed = _enqueue_concurrently(stage.process.dsn, bench.sizes.waking_seconds)
            bench.check(contestant, "waking", {"jobs committed": (stage.left(), committed)})
            figures[f"wakeups_{'on' if is_on else 'off'}_per_second"] = committed / bench.sizes.waking_seconds
    return figures


def _enqueue_concurrently(dsn: str, seconds: float) -> int:
    def enqueue(_: int) -> int:
        with psycopg.connect(dsn, autocommit=True) as connection:
            row = connection.execute("CALL enqueue_for(%s, 0)", [seconds]).fetchone()
            assert row is not None
            return int(row[0])

    with ThreadPoolExecutor(ENQUEUERS) as threads:
        return sum(threads.map(enqueue, range(ENQUEUERS)))


@contextmanager
def _somebody_listens(dsn: str) -> Iterator[None]:
    """As a worker would: to nobody, PostgreSQL does not even send."""
    over = threading.Event()
    with psycopg.connect(dsn, autocommit=True) as connection, ThreadPoolExecutor(1) as thread:
        connection.execute("LISTEN pgq")

        def listen() -> None:
            while not over.is_set():
                for _ in connection.notifies(timeout=0.1):
                    pass

        thread.submit(listen)
        time.sleep(0.1)
        try:
            yield
        finally:
            over.set()
