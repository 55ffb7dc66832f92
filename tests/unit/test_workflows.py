"""Workflows as values: names, parents, order, and what is refused before anything is sent."""

from typing import Any
from uuid import UUID

import pytest

from pgq_orm.errors import InvalidJobError, JobFailedError, UnknownParentError, WorkflowError
from pgq_orm.parents import Parent, Parents
from pgq_orm.statuses import LogStatus
from pgq_orm.workflows import Call, Workflow, call, chain, group


def names(flow: Workflow) -> list[str | None]:
    """In the order in which the jobs are enqueued."""
    return [planned.member.name for planned in flow.plan()]


def edges(flow: Workflow) -> dict[str | None, list[object]]:
    """The names or ids of each job's parents."""
    members = flow.members
    return {
        member.name: [
            edge.outsider if edge.position is None else members[edge.position].name for edge in parents
        ]
        for member, parents in flow.plan()
    }


def test_jobs_are_called_by_their_entrypoints_and_numbered() -> None:
    flow = Workflow()
    for name in (None, "fetch-2", None, None):
        flow.add("fetch", name=name)
    assert names(flow) == ["fetch", "fetch-2", "fetch-3", "fetch-4"]


def test_jobs_that_are_added_to_a_workflow_have_the_names_that_they_are_given() -> None:
    flow = Workflow(UUID(int=1))
    flow.add("fetch")
    flow.add("load", name="load")
    assert names(flow) == [None, "load"]


def test_parents_come_first_whatever_the_order_of_adding() -> None:
    flow = Workflow()
    flow.add("load", depends_on=["transform", "extract"])
    flow.add("transform", depends_on="extract")
    flow.add("extract")
    flow.add("alone")
    assert names(flow) == ["extract", "alone", "transform", "load"]


def test_a_parent_that_is_named_in_two_ways_is_one() -> None:
    flow = Workflow()
    fetch = flow.add("fetch")
    flow.add("load", depends_on={fetch: "cancel", "fetch": "ignore"})
    (_, (_, (edge,))) = flow.plan()
    assert (edge.position, edge.on_failure) == (0, "ignore")


def test_chains_and_groups_may_hold_each_other() -> None:
    flow = Workflow.of(
        chain(
            group(chain("a", "b"), "c"),
            group(),
            ["d", call("e", name="five")],
        )
    )
    assert edges(flow) == {"a": [], "b": ["a"], "c": [], "d": ["b", "c"], "five": ["d"]}


def test_the_ends_of_what_is_added_are_the_answer() -> None:
    flow = Workflow()
    first = flow.add("first")
    ends = flow.add(chain("a", group("b", "c")), depends_on=first, on_failure="wait")
    assert [end.name for end in ends] == ["b", "c"]
    flow.add(Call("last", b"x"), name="end", depends_on=ends)
    assert edges(flow) == {"first": [], "a": ["first"], "b": ["a"], "c": ["a"], "end": ["b", "c"]}
    assert {edge.on_failure for planned in flow.plan()[1:4] for edge in planned.edges} == {"wait"}


def test_an_empty_workflow_is_one_too() -> None:
    assert Workflow().plan() == Workflow.of(chain()).plan() == []


@pytest.mark.parametrize(
    ("waiting", "circle"),
    [
        ({"a": "a"}, "'a' waits for 'a'"),
        ({"a": "b", "b": "c", "c": "a", "d": "a"}, "'a' waits for 'b' waits for 'c' waits for 'a'"),
        ({"z": "b", "a": "b", "b": "a"}, "'b' waits for 'a' waits for 'b'"),
    ],
)
def test_a_circle_is_refused_by_name(waiting: dict[str, str], circle: str) -> None:
    flow = Workflow()
    flow.add("beside")
    for job, parent in waiting.items():
        flow.add(job, depends_on=parent)
    with pytest.raises(WorkflowError, match=f"would never run: {circle}$"):
        flow.plan()


def test_an_unknown_name_is_refused_with_a_guess() -> None:
    flow = Workflow()
    flow.add("extract")
    flow.add("load", depends_on="extrat")
    with pytest.raises(
        WorkflowError,
        match=r"no job of the workflow is called 'extrat': did you mean 'extract'\? \(its jobs: 'extract', 'load'\)$",
    ):
        flow.plan()


def test_an_unknown_name_like_no_other_is_told_the_names_that_there_are() -> None:
    flow = Workflow()
    flow.add("a")
    flow.add("c", depends_on="bb")
    with pytest.raises(WorkflowError, match=r"of the workflow is called 'bb' \(its jobs: 'a', 'c'\)$"):
        flow.plan()


def test_a_name_is_given_once() -> None:
    flow = Workflow()
    flow.add("fetch", name="first")
    with pytest.raises(WorkflowError, match="cannot both be called 'first'"):
        flow.add("load", name="first")


def test_a_job_of_another_workflow_is_no_parent() -> None:
    stranger = Workflow().add("fetch")
    with pytest.raises(WorkflowError, match="'fetch' is a job of another workflow"):
        Workflow().add("load", depends_on=stranger)


@pytest.mark.parametrize("nonsense", [None, 1.5, True, b"fetch", [None], object()])
def test_what_is_no_parent_is_refused(nonsense: Any) -> None:
    with pytest.raises((WorkflowError, InvalidJobError), match="not "):
        Workflow().add("load", depends_on=nonsense)


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(InvalidJobError, match="on_failure must be 'cancel', 'ignore' or 'wait', not 'retry'"):
        Workflow().add("load", on_failure="retry")  # type: ignore[call-overload]
    with pytest.raises(InvalidJobError, match="on_failure must be"):
        Workflow().add("load", depends_on={1: "stop"})


@pytest.mark.parametrize("nonsense", [None, 7, b"fetch", ["fetch", 7]])
def test_what_is_no_part_is_refused(nonsense: Any) -> None:
    with pytest.raises(InvalidJobError, match="a workflow is made of entrypoints, calls, chains and groups"):
        Workflow.of(nonsense)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"payload": "text"}, "payload must be bytes"),
        ({"arguments": {"n": float("nan")}}, "cannot be stored as JSON"),
        ({"priority": "high"}, "priority must be an integer"),
        ({"name": ""}, "name must have 1 to 500 characters"),
        ({"queue": "a\0b"}, "a character that PostgreSQL cannot store"),
    ],
)
def test_what_cannot_be_stored_is_refused_where_it_is_said(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidJobError, match=reason):
        Workflow().add("fetch", **wrong)
    with pytest.raises(InvalidJobError, match=reason):
        call("fetch", **wrong)


def test_a_part_has_its_arguments_in_it() -> None:
    with pytest.raises(TypeError, match="has its arguments in it"):
        Workflow().add(call("fetch"), b"payload")
    with pytest.raises(TypeError, match="a chain has no name"):
        Workflow().add(chain("a"), name="a")  # type: ignore[call-overload]


def test_the_id_of_a_workflow_is_a_uuid() -> None:
    with pytest.raises(WorkflowError, match="must be a UUID, not 'nightly'"):
        Workflow("nightly")  # type: ignore[arg-type]


def test_a_workflow_shows_what_it_consists_of() -> None:
    assert repr(Workflow.of(["fetch"] * 12)).startswith("<Workflow of 12 jobs: fetch, fetch-2, ")


def parent(job_id: int, name: str | None, status: str, result: str | None = None) -> Parent:
    return Parent(job_id, name, "fetch", LogStatus(status), "ValueError: no", result)


def test_parents_are_found_by_name_and_by_id() -> None:
    parents = Parents(
        [
            parent(7, "seven", "successful", "[7]"),
            parent(8, None, "successful"),
            parent(9, "nine", "exception"),
        ]
    )
    assert list(parents) == ["seven", 8, "nine"]
    assert parents["seven"] is parents[7]
    assert parents.results() == {"seven": [7], 8: None}
    assert "ten" not in parents
    assert parents.get("ten") is None
    with pytest.raises(JobFailedError, match="job 9 has no result, it ended as exception"):
        parents["nine"].result  # noqa: B018
    with pytest.raises(
        UnknownParentError, match=r"^this job does not depend on 'sevn': did you mean 'seven'"
    ):
        parents["sevn"]
