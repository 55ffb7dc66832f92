"""What is asked about certain jobs is found by index, whatever the planner believes and the application has set."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

import psycopg
import pytest

from pgq_orm import administration
from pgq_orm.operations import Operation
from pgq_orm.steps import Steps
from pgq_orm.store import BOOKKEEPING_SETTINGS
from tests.databases import database_name, fresh_database
from tests.sql.prepared import PlanMode, explain

Statistics = Literal["no", "stale", "fresh"]

TO_BE_DONE, LOGGED = 20_000, 20_000
"""Ids 1 to 20,000 are still to be done, 20,001 to 40,000 have ended; every fourth of these has failed."""
SOME = range(19_951, 20_051)
HISTORY = f"""
INSERT INTO pgq_job (entrypoint, status, lease, worker_id)
SELECT 'mail', CASE WHEN number <= 50 THEN 'picked' ELSE 'queued' END, 1, gen_random_uuid()
FROM generate_series(1, {TO_BE_DONE}) AS number;

INSERT INTO pgq_log
    (job_id, created, enqueued, execute_after, priority, attempt, retried, status, queue, entrypoint, payload)
SELECT
    {TO_BE_DONE} + number, now() - make_interval(secs => {LOGGED} - number), now(), now(), 0, attempt, attempt = 1,
    CASE WHEN attempt = 1 OR number % 4 = 0 THEN 'exception' ELSE 'successful' END, 'default', 'mail', 'x'
FROM generate_series(1, {LOGGED}) AS number, generate_series(1, 2) AS attempt;

INSERT INTO pgq_worker (id, lease_seconds, pid, hostname, queues, entrypoints)
SELECT DISTINCT worker_id, 30, 1, 'here', CAST('{{}}' AS text[]), CAST('{{}}' AS text[])
FROM pgq_job
WHERE status = 'picked';
"""


@pytest.fixture(
    scope="module", params=["no", "stale", "fresh"], ids=lambda statistics: f"{statistics}-statistics"
)
def history(request: pytest.FixtureRequest, server_dsn: str, template_dsn: str) -> Iterator[str]:
    """A database with a backlog and a log, and what the planner knows of them."""
    statistics: Statistics = request.param
    with fresh_database(server_dsn, template=database_name(template_dsn)) as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for table in ("pgq_job", "pgq_log", "pgq_worker"):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            if statistics == "stale":
                connection.execute("ANALYZE")
            connection.execute(HISTORY.encode())
            if statistics == "fresh":
                connection.execute("ANALYZE")
        yield dsn


@pytest.fixture
def application(history: str) -> Iterator[psycopg.Connection]:
    """A connection with no settings of ours."""
    with psycopg.connect(history, autocommit=True) as connection:
        yield connection


@pytest.fixture
def watcher(application: psycopg.Connection) -> psycopg.Connection:
    """A connection as a store sets it up, on which a CompletionWatcher looks."""
    for name, value in BOOKKEEPING_SETTINGS.items():
        application.execute("SELECT set_config(%s, %s, false)", [name, value])
    return application


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def mode(request: pytest.FixtureRequest) -> PlanMode:
    return request.param


def first(steps: Steps[Any]) -> Operation[Any]:
    return next(steps)


@pytest.mark.parametrize("ids", [[20_000], SOME], ids=["one", "a hundred"])
@pytest.mark.parametrize("ask", [administration.job_status, administration.read_outcomes])
def test_jobs_are_looked_up_by_their_ids(
    application: psycopg.Connection, mode: PlanMode, ask: Any, ids: list[int]
) -> None:
    plan = explain(application, first(ask(ids)), mode)
    assert plan.indexes == {"pgq_job_pkey", "pgq_log_job"}
    assert not plan.tables_read_whole
    assert plan.blocks < 10 + 10 * len(ids)


def test_a_watcher_looks_jobs_up_by_their_ids(watcher: psycopg.Connection, mode: PlanMode) -> None:
    plan = explain(watcher, first(administration.read_outcomes(SOME)), mode)
    assert plan.indexes == {"pgq_job_pkey", "pgq_log_job"}
    assert plan.blocks < 10 + 10 * len(SOME)


def test_jobs_are_requeued_from_the_log_rows_they_left(
    application: psycopg.Connection, mode: PlanMode
) -> None:
    plan = explain(application, first(administration.requeue_jobs(range(20_001, 20_101))), mode)
    assert not plan.tables_read_whole & {"pgq_job", "pgq_log"}
    assert plan.blocks < 100 * 40


@pytest.mark.parametrize("after", [None, 20_000])
def test_failures_are_read_from_an_index_of_their_own(
    application: psycopg.Connection, mode: PlanMode, after: int | None
) -> None:
    plan = explain(application, first(administration.list_failed_jobs(50, after=after)), mode)
    assert plan.indexes == {"pgq_log_failed"}


@pytest.mark.parametrize("history", ["fresh"], indirect=True)
@pytest.mark.parametrize("after", [None, 20_000])
def test_a_page_of_failures_ends_the_walk_along_their_index(
    application: psycopg.Connection, mode: PlanMode, after: int | None
) -> None:
    plan = explain(application, first(administration.list_failed_jobs(50, after=after)), mode)
    assert not plan.sorts
    assert plan.blocks < 100


def test_statistics_of_the_last_minutes_leave_the_rest_of_the_log_alone(
    application: psycopg.Connection, mode: PlanMode
) -> None:
    plan = explain(application, first(administration.log_statistics(last=timedelta(minutes=5))), mode)
    assert not plan.tables_read_whole
    assert plan.blocks < 400


def test_workers_are_counted_without_the_jobs_that_wait(
    application: psycopg.Connection, mode: PlanMode
) -> None:
    plan = explain(application, first(administration.active_workers()), mode)
    assert "pgq_job_picked" in plan.indexes
    assert "pgq_job" not in plan.tables_read_whole
    assert plan.blocks < 200
