"""Isolation: a transaction with a snapshot of its own is told when the queue has moved on, in PostgreSQL's own words.

What it may try again then is the whole transaction, as after any serialization failure.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from pgq_orm.errors import WorkflowError
from pgq_orm.workflows import Workflow, chain
from tests.conformance.callers import Caller
from tests.conformance.tables import Tables

pytestmark = pytest.mark.usefixtures("any_entrypoint")

SERIALIZATION_FAILURE = "40001"

Call = Callable[[Caller, int], Awaitable[Any]]


def sqlstate(error: BaseException) -> str | None:
    """What PostgreSQL called it, whatever has been wrapped around."""
    inner: Any = getattr(error, "orig", None) or error.__cause__
    return getattr(inner, "sqlstate", None)


async def take_snapshot(caller: Caller, level: str) -> None:
    await caller.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    await caller.execute("SELECT count(*) FROM pgq_job, pgq_log")


MOVES: dict[str, tuple[Call, str]] = {
    "a key that was taken": (
        lambda caller, _: caller.enqueue("mail", dedupe_key="new", on_conflict="skip"),
        "INSERT INTO pgq_job (entrypoint, dedupe_key) VALUES ('mail', 'new')",
    ),
    "a job to be replaced that was picked": (
        lambda caller, _: caller.enqueue("mail", dedupe_key="order-5", on_conflict="update"),
        "UPDATE pgq_job SET status = 'picked', lease = 1",
    ),
    "a job to be canceled that was picked": (
        lambda caller, job_id: caller.cancel([job_id]),
        "UPDATE pgq_job SET status = 'picked', lease = 1",
    ),
    "a parent that has ended": (
        lambda caller, job_id: caller.enqueue("load", depends_on=job_id),
        "DELETE FROM pgq_job",
    ),
    "a failed job that was requeued": (
        lambda caller, _: caller.ask("requeue_jobs", 5),
        "INSERT INTO pgq_job (entrypoint, dedupe_key) VALUES ('mail', 'pgq-requeue-5')",
    ),
}


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(("call", "move"), MOVES.values(), ids=list(MOVES))
async def test_what_others_have_changed_is_a_serialization_failure(
    caller: Caller, tables: Tables, level: str, call: Call, move: str
) -> None:
    job_id = tables.add_job(dedupe_key="order-5", payload=b"old")
    tables.add_log(job_id=5, status="exception")
    await take_snapshot(caller, level)
    tables.execute(move)
    with pytest.raises(Exception) as refusal:  # noqa: PT011 # each ORM has a class of its own
        await call(caller, job_id)
    assert sqlstate(refusal.value) == SERIALIZATION_FAILURE
    await caller.rollback()


async def test_of_two_serializable_transactions_that_give_the_same_name_one_fails(
    caller: Caller, tables: Tables
) -> None:
    handle = await caller.ask("enqueue_workflow", chain("extract", "load"))
    await caller.commit()
    await take_snapshot(caller, "SERIALIZABLE")
    more = Workflow(handle.id)
    more.add("audit", name="audit")
    await caller.ask("enqueue_workflow", more)
    tables.execute(
        f"""
        BEGIN ISOLATION LEVEL SERIALIZABLE;
        SELECT id FROM pgq_job WHERE workflow_id = '{handle.id}' AND name = 'audit';
        INSERT INTO pgq_job (workflow_id, name, entrypoint) VALUES ('{handle.id}', 'audit', 'audit');
        COMMIT
        """
    )
    with pytest.raises(Exception) as refusal:  # noqa: PT011
        await caller.commit()
    assert sqlstate(refusal.value) == SERIALIZATION_FAILURE
    await caller.rollback()
    assert [job.name for job in tables.jobs()] == ["extract", "load", "audit"]


async def test_a_snapshot_that_cannot_know_which_names_are_taken_is_refused(
    caller: Caller, tables: Tables
) -> None:
    await caller.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    more = Workflow(uuid4())
    more.add("audit", name="audit")
    with pytest.raises(WorkflowError, match="cannot be looked up in a REPEATABLE READ transaction"):
        await caller.ask("enqueue_workflow", more)
    await caller.ask("enqueue_workflow", chain("extract", "load"))  # its names are nobody else's
    await caller.commit()
    assert [job.name for job in tables.jobs()] == ["extract", "load"]
