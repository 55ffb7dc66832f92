"""A look at a limited entrypoint reads next to nothing but its own jobs, however many others there are."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.limits import Limit
from pgq_orm.store import BOOKKEEPING_SETTINGS
from tests.databases import database_name, fresh_database
from tests.sql.prepared import Plan, PlanMode, explain

WORKER = UUID(int=1)
QUEUES = ["default", "elsewhere"]
WORKERS = f"""
INSERT INTO pgq_worker (id, lease_seconds, pid, hostname, queues, entrypoints)
VALUES ('{WORKER}', 30, 1, 'here', '{{}}', '{{}}')
"""
# In the order in which they are picked: other jobs, a long run of one key, then other keys. A hundred of each run.
BACKLOG = """
INSERT INTO pgq_job (entrypoint, concurrency_key, priority, status)
SELECT
    kind.entrypoint,
    CASE WHEN kind.key = 'each' THEN 'key ' || number ELSE kind.key END,
    kind.priority,
    CASE WHEN kind.key IS NULL AND number <= 100 OR number <= 1 THEN 'picked' ELSE 'queued' END
FROM (
    VALUES ('other', NULL, 4, 30000), ('mail', NULL, 3, 20000), ('keyed', 'run', 2, 20000), ('keyed', 'each', 1, 2000)
) AS kind (entrypoint, key, priority, amount)
CROSS JOIN LATERAL generate_series(1, amount) AS number
"""


@pytest.fixture(scope="module", params=["no", "stale", "fresh"], ids=lambda kind: f"{kind}-statistics")
def worker(
    request: pytest.FixtureRequest, server_dsn: str, template_dsn: str
) -> Iterator[psycopg.Connection]:
    """A connection as a worker's store sets it up, with plans from when there were no jobs, before a backlog."""
    with (
        fresh_database(server_dsn, template=database_name(template_dsn)) as dsn,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        connection.execute(b"ALTER TABLE pgq_job SET (autovacuum_enabled = off)")
        connection.execute(WORKERS.encode())
        if request.param == "stale":
            connection.execute("ANALYZE")
        for name, value in BOOKKEEPING_SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        for _ in range(8):
            look(connection, "mail", Limit(concurrency=200, per_second=10), "force_custom_plan")
            look(connection, "keyed", Limit(per_key=1), "force_custom_plan")
        connection.execute(BACKLOG.encode())
        if request.param == "fresh":
            connection.execute("ANALYZE")
        yield connection


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def mode(request: pytest.FixtureRequest) -> PlanMode:
    """For the values at hand, or once for all."""
    return request.param


def look(
    connection: psycopg.Connection, entrypoint: str, limit: Limit, mode: PlanMode, room: int = 100
) -> Plan:
    pick = operations.pick_limited(WORKER, QUEUES, {entrypoint: limit}, room)
    explain(connection, pick, mode)  # whose functions have yet to be planned
    return explain(connection, pick, mode)


@pytest.mark.parametrize("room", [1, 100])
def test_a_look_reads_what_runs_and_what_it_picks(
    worker: psycopg.Connection, mode: PlanMode, room: int
) -> None:
    plan = look(worker, "mail", Limit(concurrency=100 + room), mode, room)
    # a hundred that run are counted; to pick one is to take it out of each index and into another
    assert plan.blocks < 60 + 100 + 40 * room


def test_a_look_for_a_token_reads_no_more(worker: psycopg.Connection, mode: PlanMode) -> None:
    plan = look(worker, "mail", Limit(per_second=1), mode)
    assert plan.blocks < 60 + 100 + 40


def test_a_limit_that_is_used_up_is_found_out_by_counting(worker: psycopg.Connection, mode: PlanMode) -> None:
    assert look(worker, "mail", Limit(concurrency=100), mode).blocks < 60 + 100


def test_an_entrypoint_without_jobs_costs_next_to_nothing(worker: psycopg.Connection, mode: PlanMode) -> None:
    assert look(worker, "letter", Limit(concurrency=100), mode).blocks < 30


def test_a_long_run_of_a_taken_key_is_passed_by_going_from_key_to_key(
    worker: psycopg.Connection, mode: PlanMode
) -> None:
    plan = look(worker, "keyed", Limit(per_key=1), mode, room=20)
    # The first 1000 jobs in their order, then 200 keys; not the 20,000 of the run.
    assert plan.blocks < 1500 + 200 * 10 + 40 * 20
