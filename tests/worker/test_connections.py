"""Connections: whatever happens to them, the worker goes on by itself, nothing is lost and nothing runs twice."""

import asyncio
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event

from pgq_orm import PgQueuer, libpq, schema
from pgq_orm.embedded import EmbeddedServer
from pgq_orm.models import Job
from pgq_orm.sqlalchemy import SyncQueries, bookkeeping
from pgq_orm.store import BOOKKEEPING_SETTINGS
from pgq_orm.worker import runner
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.hearing import hearing
from tests.worker.conftest import KINDS, dispose, make_engine
from tests.worker.queues import Queue
from tests.worker.wire import Wire
from tests.worker.workers import idling, listens, running, seconds

NEVER = timedelta(minutes=10)


@pytest.fixture
def ran(each_pgq: PgQueuer) -> Counter[int]:
    """How often each job ran, by its id."""
    return counting(each_pgq)


def counting(pgq: PgQueuer) -> Counter[int]:
    ran: Counter[int] = Counter()

    @pgq.entrypoint("work")
    async def work(job: Job) -> None:
        ran[job.id] += 1
        await asyncio.sleep(0.01)

    return ran


def once(job_ids: list[int]) -> Counter[int]:
    return Counter(job_ids)


async def test_the_listen_connection_is_replaced_whenever_it_dies(
    each_pgq: PgQueuer, queue: Queue, ran: Counter[int], caplog: pytest.LogCaptureFixture
) -> None:
    async with idling(each_pgq, queue, dequeue_timeout=NEVER):
        for _ in range(4):
            # What is enqueued while nobody listens is found by the look that follows the next LISTEN.
            queue.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND query ILIKE 'LISTEN%'
                """
            )
            [job_id] = queue.enqueue("work")
            await aeventually(lambda: queue.statuses(job_id) == ["successful"])  # noqa: B023
            await aeventually(lambda: listens(queue))
    assert set(ran.values()) == {1}
    # not later each time
    assert max(map(float, re.findall(r"WakeUps failed, next try in (\S+) s", caplog.text))) <= 0.4


async def test_all_its_connections_may_be_killed_while_it_works(
    each_pgq: PgQueuer, queue: Queue, ran: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "REPLY_SECONDS", 1.0)
    monkeypatch.setattr(runner, "UNHELD_SECONDS", 2.0)
    job_ids = queue.enqueue("work", [None] * 300)
    async with running(each_pgq, batch_size=10, max_concurrent_tasks=10, heartbeat_timeout=seconds(9)):
        [worker_id] = await aeventually(lambda: queue.worker_ids())
        for killed in range(1, 6):
            await aeventually(lambda: len(queue.log()) > killed * 40)  # noqa: B023
            await aeventually(queue.kill_connections)  # all were killed before, and it may have none yet
        await aeventually(lambda: not queue.jobs())
        assert queue.worker_ids() == [worker_id]
    assert ran == once(job_ids)
    assert queue.statuses() == ["successful"] * 300


async def test_statements_that_run_into_their_timeout_are_made_again(
    each_pgq: PgQueuer,
    queue: Queue,
    ran: Counter[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(BOOKKEEPING_SETTINGS, "statement_timeout", "500ms")
    async with idling(each_pgq, queue, dequeue_timeout=NEVER, heartbeat_timeout=seconds(15)):
        [worker_id] = queue.worker_ids()
        with queue.engine.connect() as connection:
            # Whoever adds an index or migrates holds a lock on the whole table; this one enqueues as well.
            connection.exec_driver_sql("LOCK TABLE pgq_job IN ACCESS EXCLUSIVE MODE")
            queue.execute("SELECT pg_notify('pgq', '')")
            job_ids = SyncQueries(connection).enqueue("work", [None] * 3)
            await aeventually(lambda: caplog.text.count("Fetcher failed") >= 2)
            connection.commit()
        await aeventually(lambda: queue.statuses() == ["successful"] * 3)
        assert queue.worker_ids() == [worker_id]
    assert ran == once(job_ids)


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    """A server that may be stopped."""
    binaries = os.environ.get("PGQ_POSTGRES_BIN")
    with EmbeddedServer(durable=False, binaries=Path(binaries) if binaries else None) as server:
        with psycopg.connect(server.dsn) as connection:
            for statement in schema.up():
                connection.execute(statement.encode())
        yield server


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restart_of_postgresql_is_survived_and_told_in_a_few_lines(
    kind: str, own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pgq_orm")
    engine = make_engine(kind, own_server.dsn)
    pgq, queue = PgQueuer(engine), Queue(own_server.dsn)
    queue.execute("TRUNCATE pgq_job, pgq_log")
    ran = counting(pgq)
    job_ids = queue.enqueue("work", [None] * 200)
    async with running(pgq, batch_size=10, max_concurrent_tasks=10, heartbeat_timeout=seconds(60)):
        await aeventually(lambda: len(queue.log()) > 50 and listens(queue))
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)
        job_ids += queue.enqueue("work", [None] * 20)
        await aeventually(lambda: len(queue.log()) == 220)
        await aeventually(lambda: "Connected to the database again" in caplog.text)
    assert ran == once(job_ids)
    assert queue.worker_ids() == []
    assert "[SQL" not in caplog.text
    queue.close()
    await dispose(engine)


async def test_a_worker_waits_for_a_database_that_went_away_for_long(
    wired_pgq: PgQueuer, queue: Queue, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    ran = counting(wired_pgq)
    async with running(wired_pgq, heartbeat_timeout=seconds(3)):
        await aeventually(lambda: wired_pgq.vitals().is_picking)
        [before] = queue.worker_ids()
        wire.cut()
        await aeventually(lambda: "Worker cannot register" in caplog.text)
        job_ids = queue.enqueue("work", [None] * 3)
        wire.mend()
        await aeventually(lambda: len(queue.log()) == 3)
    assert before not in {entry.worker_id for entry in queue.log()}
    assert ran == once(job_ids)


async def test_a_worker_can_be_ended_while_the_database_is_away(
    wired_pgq: PgQueuer, queue: Queue, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """It gives up when its lease is over, and says what it could not write."""
    started, release = asyncio.Event(), asyncio.Event()

    @wired_pgq.entrypoint("work")
    async def work(job: Job) -> None:
        started.set()
        await release.wait()

    [job_id] = queue.enqueue("work")
    async with running(wired_pgq, heartbeat_timeout=seconds(3)):
        await aeventually(started.is_set)
        wire.cut()
        release.set()
    assert f"they will be rescued and run again: {job_id}" in caplog.text
    assert "could not sign off" in caplog.text


async def test_a_worker_behind_a_pooler_that_shares_sessions_says_so_once(
    dsn: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(sqlalchemy_url(dsn))

    @event.listens_for(engine, "connect")
    def listen(connection: psycopg.Connection, record: object) -> None:
        # as a session does in which another client, given it before, has asked for that
        connection.execute("LISTEN pgq")
        connection.commit()

    pgq = PgQueuer(engine)
    ran = counting(pgq)
    async with running(pgq, heartbeat_timeout=seconds(1)):
        await aeventually(lambda: "shares its database sessions with other clients" in caplog.text)
        [beaten] = queue.scalars("SELECT heartbeat FROM pgq_worker")
        await aeventually(lambda: queue.scalars("SELECT heartbeat FROM pgq_worker") != [beaten])
        [job_id] = queue.enqueue("work")
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
    engine.dispose()
    assert ran == {job_id: 1}
    assert caplog.text.count("shares its database sessions with other clients") == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_who_listens_has_connected_as_the_application_does(dsn: str, kind: str, queue: Queue) -> None:
    engine = make_engine(kind, dsn)
    pids: list[int] = []

    @event.listens_for(getattr(engine, "sync_engine", engine), "connect")
    def note(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_backend_pid()")
        pids.extend(cursor.fetchone())
        connection.commit()

    def connected() -> list[int]:
        return queue.scalars(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    async with hearing(PgQueuer(engine).store):
        assert connected() == pids
    await aeventually(lambda: connected() == [])
    await dispose(engine)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_listener_whose_session_was_given_to_somebody_else_says_so(
    dsn: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (libpq, bookkeeping):
        monkeypatch.setattr(module, "LISTENS", "SELECT 1 FROM pg_listening_channels() WHERE false")
        monkeypatch.setattr(module, "LISTEN_CHECK_SECONDS", 0.1)
    engine = make_engine(kind, dsn)
    store = PgQueuer(engine).store
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionError, match="a pooler in transaction mode"):
            await store.listener.listen(on_notice=lambda payload: None, on_ready=lambda: None)
    await store.close()
    await dispose(engine)
