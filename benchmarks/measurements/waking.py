"""Waking: 16 connections that commit one job after another, with wake-ups and without.

First clients, which PostgreSQL's own pgbench plays because it takes next to no time between two commits; then loops in
the server, as a procedure, where no client hides what a wake-up costs.
"""

import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.bench import Bench
from benchmarks.lineup import Contestant
from pgq_orm.embedded import embedded_binaries

ENQUEUERS = 16

_INSERT = "INSERT INTO pgq_job (entrypoint, payload) VALUES ('noop', '0');"
_PROCEDURE = f"""
    CREATE PROCEDURE enqueue_for(seconds double precision, INOUT committed bigint) LANGUAGE plpgsql AS $$
    DECLARE
        ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
    BEGIN
        WHILE clock_timestamp() < ends LOOP
            {_INSERT}
            COMMIT;
            committed := committed + 1;
        END LOOP;
    END
    $$
"""


def measure(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """Commits a second with the triggers and without them."""
    seconds = bench.sizes.waking_seconds
    figures: dict[str, float | None] = {}
    for switch in ("on", "off"):
        with bench.stage(contestant) as stage:
            dsn = stage.process.dsn
            stage.connection.execute(_PROCEDURE)
            if switch == "off":
                stage.connection.execute("ALTER TABLE pgq_job DISABLE TRIGGER USER")
            with _somebody_listens(dsn):
                by_clients, took = _enqueue_as_clients(dsn, seconds)
                by_procedures = _enqueue_in_procedures(dsn, seconds)
            committed = by_clients + by_procedures
            bench.check(contestant, "waking", {"jobs committed": (stage.left(), committed)})
            figures[f"wakeups_{switch}_per_second"] = by_clients / took
            figures[f"wakeups_{switch}_in_server_per_second"] = by_procedures / seconds
    return figures


def _enqueue_as_clients(dsn: str, seconds: float) -> tuple[int, float]:
    """How many jobs were committed, and in how many seconds."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "enqueue.sql"
        script.write_text(_INSERT)
        played = subprocess.run(
            [
                embedded_binaries() / "pgbench",
                *("--client", str(ENQUEUERS), "--jobs", "2", "--time", str(max(1, round(seconds)))),
                *("--protocol", "prepared", "--no-vacuum", "--file", script, dsn),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    found = re.search(r"actually processed: (\d+)$.*^tps = ([\d.]+)", played, re.DOTALL | re.MULTILINE)
    assert found is not None, played
    return int(found[1]), int(found[1]) / float(found[2])


def _enqueue_in_procedures(dsn: str, seconds: float) -> int:
    """How many jobs were committed."""

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
