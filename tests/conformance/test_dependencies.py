"""Edges under concurrency: a parent cannot end unseen, whoever ends it and whoever adds the edge."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from pgq_orm import operations
from pgq_orm.operations.endings import Outcome
from pgq_orm.workflows import chain
from tests.conformance.bindings import Binding
from tests.conformance.callers import Caller
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables
from tests.eventually import aeventually

pytestmark = pytest.mark.usefixtures("any_entrypoint")


@pytest.fixture
def parent(tables: Tables) -> int:
    return tables.add_picked_job(None)


def end(connection: psycopg.Connection, job_id: int, status: str = "successful") -> None:
    finish = operations.finish([Outcome(job_id, 1, status, 0.0, 0.1)])
    cursor = connection.execute(finish.statement.pyformat.encode(), finish.params)
    assert finish.read(cursor.fetchall()) == {job_id}


def ended_elsewhere(rival: psycopg.Connection, job_id: int, status: str = "successful") -> Awaitable[None]:
    def end_and_commit() -> None:
        end(rival, job_id, status)
        rival.commit()

    return asyncio.create_task(asyncio.to_thread(end_and_commit))


async def test_a_parent_waits_to_end_until_the_edge_has_been_committed(
    caller: Caller, tables: Tables, rival: psycopg.Connection, parent: int
) -> None:
    (child,) = await caller.enqueue("load", depends_on=parent)
    ended = ended_elsewhere(rival, parent)
    await aeventually(tables.is_somebody_waiting)
    await caller.commit()
    await ended
    assert tables.statuses() == {parent: "successful", child: "queued"}


async def test_an_edge_that_is_rolled_back_holds_nobody_up(
    caller: Caller, tables: Tables, rival: psycopg.Connection, parent: int
) -> None:
    await caller.enqueue("load", depends_on=parent)
    ended = ended_elsewhere(rival, parent)
    await aeventually(tables.is_somebody_waiting)
    await caller.rollback()
    await ended
    assert tables.statuses() == {parent: "successful"}


@pytest.mark.parametrize(("outcome", "status"), [("successful", "queued"), ("exception", "canceled")])
async def test_whoever_adds_an_edge_waits_for_a_parent_that_is_ending(
    caller: Caller, tables: Tables, rival: psycopg.Connection, parent: int, outcome: str, status: str
) -> None:
    end(rival, parent, outcome)

    async def add() -> Any:
        (child,) = await caller.enqueue("load", depends_on=parent)
        await caller.commit()
        return child

    adding = asyncio.create_task(add())
    await aeventually(tables.is_somebody_waiting)
    rival.commit()
    child = await adding
    assert tables.statuses() == {parent: outcome, child: status}


async def test_a_transaction_with_an_old_snapshot_cannot_end_a_parent_unseen(
    caller: Caller, tables: Tables, rival: psycopg.Connection, parent: int
) -> None:
    rival.isolation_level = IsolationLevel.REPEATABLE_READ
    rival.execute("SELECT count(*) FROM pgq_job")
    (child,) = await caller.enqueue("load", depends_on=parent)
    await caller.commit()
    with pytest.raises(psycopg.errors.SerializationFailure):
        end(rival, parent)
    rival.rollback()
    end(rival, parent)
    rival.commit()
    assert tables.statuses() == {parent: "successful", child: "queued"}


ENDINGS: dict[str, tuple[Callable[[int], operations.Operation[Any]], str]] = {
    "finish": (lambda job_id: operations.finish([Outcome(job_id, 1, "successful", 0.0, 0.1)]), "queued"),
    "failure": (lambda job_id: operations.finish([Outcome(job_id, 1, "exception", 0.0, 0.1)]), "canceled"),
    "rescue": (lambda job_id: operations.rescue(crash_limit=1, batch_size=10), "canceled"),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=list(ENDINGS))
async def test_every_statement_that_ends_a_job_tells_its_children(
    binding: Binding, tables: Tables, ending: tuple[Callable[[int], operations.Operation[Any]], str]
) -> None:
    operation, status = ending
    parent, child = tables.add_job(), tables.add_job()
    tables.execute("INSERT INTO pgq_dependency (job_id, depends_on) VALUES (%s, %s)", child, parent)
    assert tables.job(child).status == "waiting"
    tables.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE id = %s", parent)
    await binding.run(operation(parent))
    assert tables.statuses()[child] == status


async def test_a_release_wakes_the_workers(binding: Binding, tables: Tables, ears: Ears) -> None:
    parent, child = tables.add_job(), tables.add_job()
    tables.execute("INSERT INTO pgq_dependency (job_id, depends_on) VALUES (%s, %s)", child, parent)
    tables.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE id = %s", parent)
    tables.execute("SELECT setval('pgq_wake_seq', 1)")
    ears.listen()
    await binding.run(operations.finish([Outcome(parent, 1, "successful", 0.0, 0.1)]))
    assert await aeventually(ears.heard) == [""]


async def test_clearing_the_queue_tells_the_children_of_other_entrypoints(
    caller: Caller, tables: Tables
) -> None:
    handle = await caller.ask("enqueue_workflow", chain("extract", "transform", "load"))
    assert await caller.ask("clear_queue", "extract") == 1
    await caller.commit()
    assert {tables.statuses()[job_id] for job_id in handle.job_ids} == {"canceled"}


async def test_edges_go_with_the_log_row_of_the_job_that_waited(binding: Binding, tables: Tables) -> None:
    parent, child = tables.add_job(), tables.add_job()
    tables.execute("INSERT INTO pgq_dependency (job_id, depends_on) VALUES (%s, %s)", child, parent)
    for job_id in (parent, child):
        tables.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE id = %s", job_id)
        await binding.run(operations.finish([Outcome(job_id, 1, "successful", 0.0, 0.1)]))
    prune = operations.prune(retention=timedelta(days=1), batch_size=10)
    tables.execute("UPDATE pgq_log SET created = now() - interval '2 days' WHERE job_id = %s", parent)
    await binding.run(prune)
    assert tables.ask("SELECT count(*) FROM pgq_dependency") == 1
    tables.execute("UPDATE pgq_log SET created = now() - interval '2 days'")
    await binding.run(prune)
    assert tables.ask("SELECT count(*) FROM pgq_dependency") == 0
