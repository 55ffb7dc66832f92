"""Every statement of a worker finds its rows by the index made for them, whatever the planner believes."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import FailedAttempt, Outcome, Release
from pgq_orm.operations.picks import Stretch
from pgq_orm.operations.workers import Lease
from pgq_orm.store import BOOKKEEPING_SETTINGS
from tests.databases import database_name, fresh_database
from tests.sql.prepared import PlanMode, explain

Statistics = Literal["no", "stale", "fresh"]

LIVING, DEAD = UUID(int=1), UUID(int=2)
QUEUED, DEFERRED, PICKED = 20_000, 20_000, 200
HELD = [Lease(job_id, 1) for job_id in range(1, 101)]
BACKLOG = f"""
INSERT INTO pgq_job (id, entrypoint, status, lease, worker_id)
SELECT number, 'mail', 'picked', 1, CASE WHEN number <= 100 THEN '{LIVING}'::uuid ELSE '{DEAD}'::uuid END
FROM generate_series(1, {PICKED}) AS number;

INSERT INTO pgq_job (id, entrypoint, priority, execute_after, updated, dedupe_key)
SELECT
    {PICKED} + number,
    'mail',
    number % 10,
    -- half of them are ready, of the others every hundredth is due
    now() + CASE WHEN number % 2 = 0 OR number % 100 = 1 THEN interval '0' ELSE interval '1 day' END,
    now() - CASE WHEN number % 100 = 1 THEN interval '1 hour' ELSE interval '0' END,
    'key-' || number
FROM generate_series(1, {QUEUED + DEFERRED}) AS number;

INSERT INTO pgq_log (job_id, enqueued, execute_after, priority, attempt, status, queue, entrypoint, created)
SELECT number, now(), now(), 0, 1, 'successful', 'default', 'mail', now() - interval '1 day'
FROM generate_series(1, 20000) AS number;

INSERT INTO pgq_worker (id, heartbeat, lease_seconds, pid, hostname, queues, entrypoints)
VALUES
    ('{LIVING}', now(), 30, 1, 'here', '{{default}}', '{{mail}}'),
    ('{DEAD}', now() - interval '1 hour', 30, 2, 'there', '{{default}}', '{{mail}}');

INSERT INTO pgq_schedule (id, entrypoint, expression, next_run)
VALUES (1, 'balance', '@daily', '2026-01-01T00:00Z');

INSERT INTO pgq_queue (name, paused)
SELECT 'queue ' || number, true
FROM generate_series(1, 1000) AS number;
"""


@pytest.fixture(
    scope="module", params=["no", "stale", "fresh"], ids=lambda statistics: f"{statistics}-statistics"
)
def backlog(request: pytest.FixtureRequest, server_dsn: str, template_dsn: str) -> Iterator[str]:
    """A database full of jobs, with what the planner knows of them."""
    statistics: Statistics = request.param
    with fresh_database(server_dsn, template=database_name(template_dsn)) as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for table in ("pgq_job", "pgq_log"):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            if statistics == "stale":
                connection.execute("ANALYZE")
            connection.execute(BACKLOG.encode())
            if statistics == "fresh":
                connection.execute("ANALYZE")
        yield dsn


@pytest.fixture
def worker(backlog: str) -> Iterator[psycopg.Connection]:
    """A connection as a worker's store sets it up."""
    with psycopg.connect(backlog, autocommit=True) as connection:
        for name, value in BOOKKEEPING_SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        yield connection


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def mode(request: pytest.FixtureRequest) -> PlanMode:
    """For the values at hand, or once for all: drivers that prepare statements come to the second."""
    return request.param


@pytest.mark.parametrize("batch_size", [1, 100])
def test_a_pick_walks_along_its_index_and_stops(
    worker: psycopg.Connection, mode: PlanMode, batch_size: int
) -> None:
    plan = explain(worker, operations.pick(LIVING, "default", ["mail", "letter"], batch_size), mode)
    assert plan.indexes >= {"pgq_job_ready", "pgq_job_pkey"}
    assert not plan.sorts
    assert not plan.tables_read_whole & {"pgq_job", "pgq_queue"}
    # most of it is taking the row out of one index and into another
    assert plan.blocks < 40 + 25 * batch_size


def test_a_pick_past_a_floor_does_not_walk_below_it(worker: psycopg.Connection, mode: PlanMode) -> None:
    # of priority 5 all but the last; nothing else is asked for
    stretches = [Stretch(5, 5, PICKED + QUEUED + DEFERRED - 100)]
    plan = explain(worker, operations.pick(LIVING, "default", ["mail"], 1000, stretches), mode)
    assert plan.indexes >= {"pgq_job_ready", "pgq_job_pkey"}
    assert not plan.sorts
    assert plan.blocks < 40 + 25 * 10


def test_many_floors_cost_a_descent_each(worker: psycopg.Connection, mode: PlanMode) -> None:
    stretches = [Stretch(-number, -number, 10**9) for number in range(200)]
    plan = explain(worker, operations.pick(LIVING, "default", ["mail"], 100, stretches), mode)
    assert plan.indexes >= {"pgq_job_ready"}
    assert plan.blocks < 5 * len(stretches)


def test_a_pick_of_an_unknown_worker_reads_no_job(worker: psycopg.Connection, mode: PlanMode) -> None:
    plan = explain(worker, operations.pick(UUID(int=3), "default", ["mail"], 100), mode)
    assert plan.blocks < 10


def test_a_pick_from_an_empty_queue_reads_next_to_nothing(worker: psycopg.Connection, mode: PlanMode) -> None:
    plan = explain(worker, operations.pick(LIVING, "elsewhere", ["mail"], 100), mode)
    assert plan.blocks < 20


def test_to_find_the_queues_with_jobs_is_a_probe_into_each(
    worker: psycopg.Connection, mode: PlanMode
) -> None:
    queues = ["default", *(f"queue {number}" for number in range(100))]
    plan = explain(worker, operations.find_ready_queues(queues), mode)
    assert plan.indexes == {"pgq_job_ready"}
    assert not plan.tables_read_whole
    assert plan.blocks < 6 * len(queues)


def test_a_promotion_looks_at_what_is_due_and_not_at_what_waits(
    worker: psycopg.Connection, mode: PlanMode
) -> None:
    plan = explain(worker, operations.promote(10), mode)
    assert plan.indexes == {"pgq_job_deferred", "pgq_job_pkey"}
    assert not plan.sorts
    assert not plan.tables_read_whole
    assert plan.blocks < 40 + 25 * 10


OPERATIONS: dict[str, Callable[[], Operation[Any]]] = {
    "finish": lambda: operations.finish([Outcome(*held, "successful", 0.0, 0.1) for held in HELD]),
    "retry": lambda: operations.retry(LIVING, [FailedAttempt(*held, 1.0, 0.1, "E", "T") for held in HELD]),
    "release": lambda: operations.release([Release(*held) for held in HELD]),
    "beat": lambda: operations.beat(LIVING, HELD, unheld_seconds=30.0),
    "rescue": lambda: operations.rescue(crash_limit=5, batch_size=1000),
    "cancel": lambda: operations.cancel([held.id for held in HELD]),
    "prune": lambda: operations.prune(retention=timedelta(days=30), batch_size=100),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_upkeep_touches_the_jobs_it_is_about_and_no_others(
    worker: psycopg.Connection, mode: PlanMode, operation: Callable[[], Operation[Any]]
) -> None:
    plan = explain(worker, operation(), mode)
    assert not plan.tables_read_whole & {"pgq_job", "pgq_log"}
    assert plan.blocks < 30 * len(HELD)


KEYS = [f"key-{number}" for number in range(1, 51)]
BY_APPLICATIONS: dict[str, Callable[[], Operation[Any]]] = {
    "cancel": OPERATIONS["cancel"],
    "finish": lambda: operations.finish([Outcome(*HELD[0], "successful", 0.0, 0.1)]),
    "skip": lambda: operations.enqueue("mail", dedupe_key=KEYS, on_conflict="skip").inserts[0],
    "update": lambda: operations.enqueue("mail", dedupe_key=KEYS, on_conflict="update").inserts[0],
}


@pytest.mark.parametrize("operation", BY_APPLICATIONS.values(), ids=list(BY_APPLICATIONS))
def test_an_application_with_its_own_settings_does_not_read_the_whole_backlog(
    backlog: str, mode: PlanMode, operation: Callable[[], Operation[Any]]
) -> None:
    with psycopg.connect(backlog, autocommit=True) as application:
        plan = explain(application, operation(), mode)
    assert not plan.tables_read_whole & {"pgq_job", "pgq_log"}
