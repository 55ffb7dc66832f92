"""What the end of a job costs, however large its workflow is; and that its log row says where it belonged."""

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pgq_orm import operations
from pgq_orm.operations.endings import Outcome
from pgq_orm.orchestration import WorkflowHandle
from pgq_orm.sql import names, statement
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.workflows import Chain, chain, group
from tests.databases import sqlalchemy_url

SMALL, LARGE = 10, 3000


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn) as connection:
        yield connection


def enqueued(dsn: str, flow: Chain) -> WorkflowHandle:
    engine = create_engine(sqlalchemy_url(dsn))
    with Session(engine) as session, session.begin():
        handle = SyncQueries(session).enqueue_workflow(flow)
    engine.dispose()
    return handle


def rows_read_to_end(connection: psycopg.Connection, job_id: int, status: str = "successful") -> int:
    """How many rows of our tables are read to end a job, after which it is taken back."""
    with connection.transaction(force_rollback=True):
        connection.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE id = %s", [job_id])
        before = rows_read(connection)
        finish = operations.finish([Outcome(job_id, 1, status, 0.0, 0.1)])
        ended = connection.execute(finish.statement.pyformat.encode(), finish.params).fetchall()
        assert finish.read(ended) == {job_id}
        return rows_read(connection) - before


def rows_read(connection: psycopg.Connection) -> int:
    ((read,),) = connection.execute(
        "SELECT CAST(sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) AS bigint) FROM pg_stat_xact_user_tables"
        " WHERE relname LIKE 'pgq%'"
    ).fetchall()
    return read


SHAPES: dict[str, Callable[[int], Chain]] = {
    "chain": lambda size: chain(["job"] * size),
    "fan-in": lambda size: chain(group(["job"] * size), "last"),
    "wide layers": lambda size: chain("job", group("job", "job"), group(["job"] * size)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_the_end_of_a_job_does_not_cost_more_in_a_large_workflow(
    dsn: str, connection: psycopg.Connection, shape: Callable[[int], Chain]
) -> None:
    small, large = enqueued(dsn, shape(SMALL)), enqueued(dsn, shape(LARGE))
    cost = rows_read_to_end(connection, small["job"])
    assert rows_read_to_end(connection, large["job"]) <= cost + 5


def test_a_failure_reads_what_it_cancels_and_no_more(dsn: str, connection: psycopg.Connection) -> None:
    enqueued(dsn, chain(["other"] * LARGE))
    small, large = enqueued(dsn, chain(["job"] * SMALL)), enqueued(dsn, chain(["job"] * 100))
    per_job = rows_read_to_end(connection, small["job"], "exception") / SMALL
    assert rows_read_to_end(connection, large["job"], "exception") <= 2 * per_job * 100


def test_a_job_without_a_workflow_reads_no_edges(dsn: str, connection: psycopg.Connection) -> None:
    enqueued(dsn, chain(["other"] * SMALL))
    ((job_id,),) = connection.execute(
        "INSERT INTO pgq_job (entrypoint) VALUES ('mail') RETURNING id"
    ).fetchall()
    assert rows_read_to_end(connection, job_id) <= 2


LOGGING = [name for name in names() if "INSERT INTO pgq_log" in statement(name).text]


@pytest.mark.parametrize("name", LOGGING)
def test_whatever_writes_a_log_row_says_where_the_job_belonged(name: str) -> None:
    (columns,) = re.findall(r"INSERT INTO pgq_log \((.*?)\)", statement(name).text, re.DOTALL)
    assert {"workflow_id", "name"} <= set(re.split(r",\s*", columns.strip()))
