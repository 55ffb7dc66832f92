"""Workflows: what an application enqueues, asks, cancels and runs again, in its own transaction."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.errors import (
    DuplicateJobError,
    InvalidJobError,
    JobNotFoundError,
    WorkflowError,
    WorkflowNotFoundError,
)
from pgq_orm.operations.endings import Outcome
from pgq_orm.orchestration import WorkflowHandle
from pgq_orm.statuses import OnFailure
from pgq_orm.workflows import Workflow, call, chain, group
from tests.conformance.callers import Caller
from tests.conformance.tables import Tables

pytestmark = pytest.mark.usefixtures("any_entrypoint")

NOBODYS_ID = 2**62


@pytest.fixture
def end(dsn: str, tables: Tables) -> Callable[..., int]:
    """Ends a job that is queued, as a worker does; answers its id."""

    def end(job_id: int, status: str = "successful", result: str | None = None) -> int:
        assert tables.job(job_id).status == "queued"
        tables.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE id = %s", job_id)
        error = None if status == "successful" else "ValueError: no"
        finish = operations.finish([Outcome(job_id, 1, status, 0.0, 0.1, result, error)])
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(finish.statement.pyformat.encode(), finish.params)
            assert finish.read(cursor.fetchall()) == {job_id}
        return job_id

    return end


def diamond(**policies: Any) -> Workflow:
    flow = Workflow()
    extract = flow.add("extract", arguments={"source": "orders"})
    parts = [flow.add("transform", arguments={"part": n}, depends_on=extract, **policies) for n in range(2)]
    flow.add("load", depends_on=parts, **policies)
    return flow


async def enqueued(caller: Caller, flow: Any) -> WorkflowHandle:
    handle: WorkflowHandle = await caller.ask("enqueue_workflow", flow)
    await caller.commit()
    return handle


def statuses(tables: Tables, handle: WorkflowHandle) -> list[str]:
    """Of the jobs in the order in which they were added."""
    return [tables.statuses()[job_id] for job_id in handle.job_ids]


async def test_all_of_it_is_there_with_the_commit(caller: Caller, tables: Tables) -> None:
    await caller.ask("enqueue_workflow", diamond())
    assert tables.count_jobs() == 0
    await caller.rollback()
    handle = await enqueued(caller, diamond())
    assert statuses(tables, handle) == ["queued", "waiting", "waiting", "waiting"]
    assert [(job.name, job.waits_for, job.workflow_id) for job in tables.jobs()] == [
        ("extract", None, handle.id),
        ("transform", 1, handle.id),
        ("transform-2", 1, handle.id),
        ("load", 2, handle.id),
    ]
    assert tables.job(handle["transform-2"]).arguments == {"part": 1}


async def test_a_job_is_released_when_the_last_of_its_parents_has_succeeded(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond())
    end(handle["extract"])
    assert statuses(tables, handle) == ["successful", "queued", "queued", "waiting"]
    end(handle["transform"])
    assert statuses(tables, handle)[-1] == "waiting"
    end(handle["transform-2"])
    assert statuses(tables, handle)[-1] == "queued"


async def test_what_depends_on_a_failure_is_cancelled_and_says_which(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond())
    end(handle["extract"], "exception")
    assert statuses(tables, handle) == ["exception", "canceled", "canceled", "canceled"]
    assert tables.count_jobs() == 0
    extract, *_ = handle.job_ids
    assert [log.error for log in tables.logs()][1:] == [
        f"ParentFailed: job {extract} (extract) ended as exception",
        f"ParentFailed: job {extract} (extract) ended as exception",
        f"ParentFailed: job {handle['transform']} (transform) ended as canceled",
    ]


async def test_a_failure_may_be_ignored(caller: Caller, tables: Tables, end: Callable[..., int]) -> None:
    handle = await enqueued(caller, diamond(on_failure="ignore"))
    end(handle["extract"], "exception")
    assert statuses(tables, handle) == ["exception", "queued", "queued", "waiting"]
    end(handle["transform"], "canceled")
    end(handle["transform-2"])
    assert statuses(tables, handle)[-1] == "queued"


async def test_a_job_may_wait_until_a_failed_one_has_been_run_again(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond(on_failure="wait"))
    end(handle["extract"], "exception")
    assert statuses(tables, handle) == ["exception", "waiting", "waiting", "waiting"]
    assert (await caller.ask("workflow_status", handle.id)).state == "stalled"
    again = await caller.ask("retry_workflow", handle.id)
    await caller.commit()
    assert list(again) == [handle["extract"]]
    assert (await caller.ask("workflow_status", handle.id)).state == "running"
    end(again[handle["extract"]])
    assert statuses(tables, handle) == ["exception", "queued", "queued", "waiting"]


async def test_each_edge_may_have_a_policy_of_its_own(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    flow = Workflow()
    needed, nice = flow.add("needed"), flow.add("nice")
    flow.add("report", depends_on={needed: "cancel", nice: "ignore"})
    handle = await enqueued(caller, flow)
    end(handle["nice"], "exception")
    assert statuses(tables, handle) == ["queued", "exception", "waiting"]
    end(handle["needed"])
    assert statuses(tables, handle)[-1] == "queued"


async def test_a_canceled_job_counts_as_failed(caller: Caller, tables: Tables) -> None:
    handle = await enqueued(caller, diamond())
    assert await caller.cancel([handle["transform"]]) == {handle["transform"]: False}
    await caller.commit()
    assert statuses(tables, handle) == ["queued", "canceled", "waiting", "canceled"]


async def test_a_job_that_is_removed_counts_as_failed(caller: Caller, tables: Tables) -> None:
    handle = await enqueued(caller, diamond())
    tables.execute("DELETE FROM pgq_job WHERE id = %s", handle["extract"])
    assert tables.count_jobs() == 0
    assert tables.logs()[0].error == f"ParentFailed: job {handle['extract']} was removed"


async def test_a_chain_and_groups_make_a_workflow(caller: Caller, tables: Tables) -> None:
    handle = await enqueued(
        caller,
        chain(
            "extract",
            group(call("transform", arguments={"part": n}) for n in range(3)),
            chain("load", "tell"),
        ),
    )
    waits = {job.name: job.waits_for for job in tables.jobs()}
    assert waits == {
        "extract": None,
        "transform": 1,
        "transform-2": 1,
        "transform-3": 1,
        "load": 3,
        "tell": 1,
    }
    status = await caller.ask("workflow_status", handle.id)
    assert set(status["load"].depends_on) == {
        handle["transform"],
        handle["transform-2"],
        handle["transform-3"],
    }
    assert status["tell"].depends_on == {handle["load"]: "cancel"}


async def test_the_same_value_may_be_enqueued_again(caller: Caller, tables: Tables) -> None:
    flow = diamond()
    first, second = await enqueued(caller, flow), await enqueued(caller, flow)
    assert first.id != second.id
    assert tables.count_jobs() == 8


async def test_a_large_workflow_takes_several_statements(caller: Caller, tables: Tables) -> None:
    flow = chain("first", group(["middle"] * 2500), "last")
    handle = await enqueued(caller, flow)
    assert tables.job(handle["last"]).waits_for == 2500
    assert tables.ask("SELECT count(*) FROM pgq_dependency") == 5000
    assert tables.ask("SELECT count(*) FROM pgq_job WHERE waits_for = 1") == 2500


async def test_the_state_is_told_with_every_job_and_edge(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond())
    end(handle["extract"])
    end(handle["transform"], "exception")
    status = await caller.ask("workflow_status", handle.id)
    assert status.state == "running"
    assert status.counts == {"successful": 1, "exception": 1, "queued": 1, "canceled": 1}
    assert [job.id for job in status.jobs] == list(handle.job_ids)
    assert status["load"].error == f"ParentFailed: job {handle['transform']} (transform) ended as exception"
    assert status["load"].depends_on == {handle["transform"]: "cancel", handle["transform-2"]: "cancel"}
    end(handle["transform-2"])
    assert (await caller.ask("workflow_status", handle.id)).state == "failed"


async def test_an_unknown_workflow_has_no_state(caller: Caller) -> None:
    with pytest.raises(WorkflowNotFoundError, match="is not to be found"):
        await caller.ask("workflow_status", uuid4())
    with pytest.raises(WorkflowError, match="must be a UUID, not 'nightly'"):
        await caller.ask("workflow_status", "nightly")


async def test_retrying_runs_again_what_failed_and_what_was_canceled_for_it_and_nothing_else(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond())
    end(handle["extract"], result='{"rows": 3}')
    end(handle["transform"], "exception")
    end(handle["transform-2"])
    again = await caller.ask("retry_workflow", handle.id)
    await caller.commit()
    assert sorted(again) == [handle["transform"], handle["load"]]
    status = await caller.ask("workflow_status", handle.id)
    assert {job.name: job.status for job in status.jobs} == {
        "extract": "successful",
        "transform-2": "successful",
        "transform": "queued",
        "load": "waiting",
    }
    assert tables.job(again[handle["transform"]]).arguments == {"part": 0}
    assert set(status["load"].depends_on) == {again[handle["transform"]], handle["transform-2"]}
    end(again[handle["transform"]])
    end(again[handle["load"]])
    assert (await caller.ask("workflow_status", handle.id)).state == "successful"
    assert await caller.ask("retry_workflow", handle.id) == {}


async def test_what_failed_twice_is_run_a_third_time(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, chain("extract", "load"))
    job_id = handle["extract"]
    for _ in range(2):
        end(job_id, "exception")
        again = await caller.ask("retry_workflow", handle.id)
        await caller.commit()
        assert len(again) == 2
        job_id = again[job_id]
    end(job_id)
    status = await caller.ask("workflow_status", handle.id)
    assert [(job.name, job.status) for job in status.jobs] == [("extract", "successful"), ("load", "queued")]


@pytest.mark.parametrize("on_failure", ["cancel", "ignore", "wait"])
async def test_a_job_that_is_requeued_does_not_wait_for_a_parent_of_which_nothing_is_known_any_more(
    caller: Caller, tables: Tables, end: Callable[..., int], on_failure: OnFailure
) -> None:
    flow = Workflow()
    flow.add("load", depends_on=flow.add("extract"), on_failure=on_failure)
    handle = await enqueued(caller, flow)
    end(handle["extract"])
    end(handle["load"], "exception")
    await caller.ask("clear_queue_log", "extract")
    again = await caller.ask("requeue_jobs", handle["load"])
    await caller.commit()
    end(again[handle["load"]])


async def test_another_parent_does_not_bring_back_one_of_which_nothing_is_known_any_more(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    flow = Workflow()
    extract, transform = flow.add("extract"), flow.add("transform")
    flow.add("load", depends_on=[extract, transform], on_failure="wait")
    handle = await enqueued(caller, flow)
    end(handle["extract"])
    await caller.ask("clear_queue_log", "extract")
    (late,) = await caller.enqueue("transform")
    await caller.commit()
    tables.execute("INSERT INTO pgq_dependency (job_id, depends_on) VALUES (%s, %s)", handle["load"], late)
    assert tables.job(handle["load"]).waits_for == 2
    end(handle["transform"])
    end(late)
    end(handle["load"])


async def test_a_job_that_is_requeued_still_waits_for_a_parent_that_failed(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond(on_failure="wait"))
    end(handle["extract"], "exception")
    await caller.cancel([handle["transform"]])
    again = await caller.ask("requeue_jobs", handle["transform"])
    await caller.commit()
    assert tables.job(again[handle["transform"]]).status == "waiting"


async def test_cancelling_ends_what_waits_and_asks_what_runs(caller: Caller, tables: Tables) -> None:
    handle = await enqueued(caller, diamond())
    other = await enqueued(caller, diamond())
    tables.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE id = %s", handle["extract"])
    answer = await caller.ask("cancel_workflow", handle.id)
    await caller.commit()
    assert answer == {job_id: job_id == handle["extract"] for job_id in handle.job_ids}
    assert tables.job(handle["extract"]).cancel_requested is not None
    assert statuses(tables, handle) == ["picked", "canceled", "canceled", "canceled"]
    assert statuses(tables, other) == ["queued", "waiting", "waiting", "waiting"]


async def test_a_canceled_workflow_may_be_retried(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond())
    end(handle["extract"])
    await caller.ask("cancel_workflow", handle.id)
    assert len(await caller.ask("retry_workflow", handle.id)) == 3
    await caller.commit()
    assert (await caller.ask("workflow_status", handle.id)).counts == {
        "successful": 1,
        "queued": 2,
        "waiting": 1,
    }


async def test_a_job_is_told_what_came_of_its_parents(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond(on_failure="ignore"))
    end(handle["extract"])
    end(handle["transform"], result='{"rows": 3}')
    end(handle["transform-2"], "exception")
    parents = await caller.ask("parents", handle["load"])
    assert list(parents) == ["transform", "transform-2"]
    assert parents["transform"].result == parents[handle["transform"]].result == {"rows": 3}
    assert parents["transform-2"].error == "ValueError: no"
    assert parents.results() == {"transform": {"rows": 3}}
    assert await caller.ask("parents", NOBODYS_ID) == {}


async def test_a_plain_job_may_depend_on_others(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    first, second = await caller.enqueue("extract", [b"1", b"2"])
    children = await caller.enqueue("load", [b"3", b"4"], depends_on=[first, second])
    await caller.commit()
    assert [tables.job(child).waits_for for child in children] == [2, 2]
    assert len({job.workflow_id for job in tables.jobs()}) == 1
    end(first)
    end(second)
    assert {tables.job(child).status for child in children} == {"queued"}


@pytest.mark.parametrize(
    ("outcome", "on_failure", "status"),
    [
        ("successful", "cancel", "queued"),
        ("successful", "wait", "queued"),
        ("exception", "cancel", "canceled"),
        ("exception", "ignore", "queued"),
        ("exception", "wait", "waiting"),
        ("canceled", "cancel", "canceled"),
    ],
)
async def test_a_parent_that_has_ended_already_counts_as_it_ended(
    caller: Caller, tables: Tables, end: Callable[..., int], outcome: str, on_failure: str, status: str
) -> None:
    parent: Any
    child: Any
    policy: Any = on_failure
    (parent,) = await caller.enqueue("extract")
    await caller.commit()
    end(parent, outcome)
    (child,) = await caller.enqueue("load", depends_on=parent, on_failure=policy)
    flow = Workflow()
    flow.add("load", depends_on=parent, on_failure=policy)
    handle = await enqueued(caller, flow)
    assert [tables.statuses()[job_id] for job_id in (child, handle["load"])] == [status, status]


async def test_an_unknown_parent_is_refused_and_harms_nobody(caller: Caller, tables: Tables) -> None:
    await caller.enqueue("mine")
    with pytest.raises(JobNotFoundError, match=f"job {NOBODYS_ID} is not to be found"):
        await caller.enqueue("load", depends_on=NOBODYS_ID)
    flow = Workflow()
    flow.add("load", depends_on=NOBODYS_ID)
    with pytest.raises(JobNotFoundError):
        await caller.ask("enqueue_workflow", flow)
    for nonsense in ("extract", None, 2**63, True, 1.5):
        with pytest.raises(InvalidJobError, match="a job's id must be an integer of 64 bits"):
            await caller.enqueue("load", depends_on=[nonsense])
    with pytest.raises(InvalidJobError, match="on_failure must be 'cancel', 'ignore' or 'wait', not 'retry'"):
        await caller.enqueue("load", depends_on=1, on_failure="retry")
    await caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["mine"]


async def test_a_dedupe_key_in_use_leaves_nothing_of_the_workflow(caller: Caller, tables: Tables) -> None:
    (mine,) = await caller.enqueue("mine", dedupe_key="nightly")
    flow = Workflow()
    first = flow.add("extract")
    flow.add("load", dedupe_key="nightly", depends_on=first)
    with pytest.raises(DuplicateJobError, match="'nightly'"):
        await caller.ask("enqueue_workflow", flow)
    await caller.commit()
    assert [job.id for job in tables.jobs()] == [mine]
    assert tables.ask("SELECT count(*) FROM pgq_dependency") == 0
    assert tables.logs() == []


async def test_jobs_are_added_to_a_workflow_that_runs(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    handle = await enqueued(caller, diamond())
    more = Workflow(handle.id)
    audit = more.add("audit", depends_on=["extract", handle["transform"]])
    more.add("sign", name="signature", depends_on=audit)
    added = await enqueued(caller, more)
    assert added.id == handle.id
    assert statuses(tables, added) == ["waiting", "waiting"]
    assert [(job.name, job.workflow_id) for job in tables.jobs()][4:] == [
        (None, handle.id),
        ("signature", handle.id),
    ]
    status = await caller.ask("workflow_status", handle.id)
    assert set(status[added.job_ids[0]].depends_on) == {handle["extract"], handle["transform"]}


async def test_a_name_is_given_once_in_a_workflow(caller: Caller, tables: Tables) -> None:
    handle = await enqueued(caller, diamond())
    more = Workflow(handle.id)
    more.add("audit", name="load")
    with pytest.raises(WorkflowError, match=f"has a job called 'load' already: job {handle['load']}"):
        await caller.ask("enqueue_workflow", more)
    more = Workflow(handle.id)
    more.add("audit", depends_on="laod")
    with pytest.raises(WorkflowError, match="has no job called 'laod'"):
        await caller.ask("enqueue_workflow", more)
    await caller.commit()
    assert tables.count_jobs() == 4


async def test_a_requeued_job_takes_its_place(
    caller: Caller, tables: Tables, end: Callable[..., int]
) -> None:
    (parent,) = await caller.enqueue("extract")
    (child,) = await caller.enqueue("load", depends_on=parent, on_failure="wait")
    await caller.commit()
    end(parent, "exception")
    assert tables.job(child).status == "waiting"
    again = (await caller.ask("retry_workflow", tables.job(child).workflow_id))[parent]
    await caller.commit()
    status = await caller.ask("workflow_status", tables.job(child).workflow_id)
    assert [(job.id, job.name) for job in status.jobs] == [(child, None), (again, str(parent))]
    end(again)
    assert tables.job(child).status == "queued"


async def test_a_job_may_run_on_another_queue_later_and_with_less_priority(
    caller: Caller, tables: Tables
) -> None:
    flow = Workflow()
    flow.add("extract", b"\x00", 5, headers={"a": 1}, queue="slow", max_attempts=3, concurrency_key="a")
    handle = await enqueued(caller, flow)
    job = tables.job(handle["extract"])
    assert (job.payload, job.priority, job.headers) == (b"\x00", 5, {"a": 1})
    assert (job.queue, job.max_attempts, job.concurrency_key) == ("slow", 3, "a")
