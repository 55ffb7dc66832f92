"""Orchestration: workflows in the database, as steps that join a transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from pgq_orm import administration, operations, storable
from pgq_orm.enqueueing import require_jobs
from pgq_orm.errors import DuplicateJobError, WorkflowError, WorkflowNotFoundError
from pgq_orm.operations import Operation, Row
from pgq_orm.operations.additions import ENQUEUE_BATCH, enqueue_params
from pgq_orm.parents import Parent, Parents
from pgq_orm.reports import WorkflowJob, WorkflowProgress, WorkflowStatus
from pgq_orm.sql import statement
from pgq_orm.statuses import LogStatus, read_status
from pgq_orm.steps import Steps, ask
from pgq_orm.workflows import Call, Chain, Edge, Group, Member, Planned, Workflow, unknown_name

_COLUMNS = [column.name for column in fields(Call)]


@dataclass(frozen=True, slots=True)
class WorkflowHandle:
    """A workflow that was enqueued: its id, and its jobs' ids by what add() answered for them, or by their names."""

    id: UUID
    job_ids: tuple[int, ...]
    """In the order in which they were added."""
    _by_name: Mapping[str, int] = field(repr=False)

    def __getitem__(self, key: Member | str) -> int:
        if isinstance(key, Member):
            return self.job_ids[key.position]
        if key not in self._by_name:
            raise WorkflowError(unknown_name(key, self._by_name))
        return self._by_name[key]


def enqueue_workflow(workflow: Workflow | Chain | Group) -> Steps[WorkflowHandle]:
    """Adds the jobs of a workflow, those that depend on others as `waiting`; answers their ids.

    All or nothing, in the caller's transaction. Raises WorkflowError for jobs that wait for each other and for names
    that nobody has or that are taken, JobNotFoundError for an id that they are to depend on, DuplicateJobError for a
    `dedupe_key` in use. A job that has ended already counts as it ended.
    """
    flow = workflow if isinstance(workflow, Workflow) else Workflow.of(workflow)
    planned = flow.plan()
    outsiders = yield from _find_outsiders(flow, planned)
    workflow_id = flow.id or uuid4()
    ids: dict[int, int] = {}  # by the members' positions
    keys: list[str | None] = []
    for start in range(0, len(planned), ENQUEUE_BATCH):
        batch = planned[start : start + ENQUEUE_BATCH]
        added = yield from ask(_enqueue(workflow_id, batch, ids, outsiders))
        keys += [row.dedupe_key for row in added]
        if len(added) < len(batch):
            yield from _withdraw([*ids.values(), *(row.id for row in added)])
            raise DuplicateJobError(
                _missing([member.call.dedupe_key for member, _ in planned], keys),
                "a job of a workflow cannot be left out: enqueue it when that one has ended",
            )
        ids |= {member.position: row.id for (member, _), row in zip(batch, added, strict=True)}
    return WorkflowHandle(
        workflow_id,
        tuple(ids[member.position] for member in flow.members),
        {member.name: ids[member.position] for member in flow.members if member.name is not None},
    )


def workflow_status(workflow_id: UUID) -> Steps[WorkflowStatus]:
    """Every job of a workflow, where it is in its life or how it ended, and what it depends on.

    A job that was enqueued again stands for the one before. Costs a read of the workflow's jobs, by index.
    Raises WorkflowNotFoundError.
    """
    check_workflow_id(workflow_id)
    params = {"workflow_id": workflow_id}
    jobs = yield from ask(Operation(statement("read_workflow"), params, _workflow_jobs))
    if not jobs:
        raise WorkflowNotFoundError(workflow_id)
    return WorkflowStatus(workflow_id, tuple(jobs))


def read_progress(workflow_ids: Sequence[UUID]) -> Steps[dict[UUID, WorkflowProgress]]:
    """How many jobs of each workflow have which status; unknown workflows are left out."""
    found: dict[UUID, WorkflowProgress] = {}
    for start in range(0, len(workflow_ids), administration.BATCH):
        params = {"workflow_ids": list(workflow_ids[start : start + administration.BATCH])}
        found |= yield from ask(Operation(statement("read_progress"), params, _progress_by_id))
    return found


def cancel_workflow(workflow_id: UUID) -> Steps[dict[int, bool]]:
    """Cancels what is still to be done of a workflow: what is not picked ends at once, what runs is asked to stop.

    Answers, for each of the jobs, whether it is running. Jobs that a running one adds later are not among them; those
    that depend on it are cancelled when it ends.
    """
    check_workflow_id(workflow_id)
    unfinished = yield from ask(
        Operation(statement("read_unfinished"), {"workflow_id": workflow_id}, _first_column)
    )
    return (yield from administration.mark_job_as_cancelled(unfinished))


def retry_workflow(workflow_id: UUID) -> Steps[dict[int, int]]:
    """Enqueues the jobs of a workflow again that ended without success; answers the new id of each old one.

    Those are the ones that failed, and those that were cancelled, because of them or by somebody. What succeeded is
    kept, with its results, and what is still to be done goes on. The new jobs wait for each other as the old ones did.
    Raises WorkflowNotFoundError.
    """
    status = yield from workflow_status(workflow_id)
    ended = [job.id for job in status.jobs if job.status in (LogStatus.EXCEPTION, LogStatus.CANCELED)]
    return (yield from administration.requeue_jobs(ended, on_refused="skip"))


def parents(job_id: int) -> Steps[Parents]:
    """The jobs that a job depends on, with what came of them. Found by index."""
    storable.check_id(job_id)
    return (yield from ask(read_parents(job_id)))


def read_parents(job_id: int) -> Operation[Parents]:
    """The jobs that a job depends on."""
    return Operation(statement("read_parents"), {"id": job_id}, _parents)


def check_workflow_id(workflow_id: object) -> None:
    """Raises WorkflowError for what is no id of a workflow."""
    if not isinstance(workflow_id, UUID):
        raise WorkflowError(
            f"a workflow's id must be a UUID, not {workflow_id!r}: take it from what enqueue_workflow answered, or "
            "from job.workflow_id"
        )


def _find_outsiders(flow: Workflow, planned: Sequence[Planned]) -> Steps[dict[int | str, int]]:
    """The ids of the parents that are not in the workflow, by how they were named.

    Raises WorkflowError for a name of the workflow that is taken, or not known.
    """
    wanted = dict.fromkeys(
        edge.outsider for _, edges in planned for edge in edges if edge.outsider is not None
    )
    job_ids = [key for key in wanted if isinstance(key, int)]
    for job_id in job_ids:
        storable.check_id(job_id)
    yield from require_jobs(job_ids)
    outsiders: dict[int | str, int] = {job_id: job_id for job_id in job_ids}
    names = [key for key in wanted if isinstance(key, str)]
    taken = [member.name for member, _ in planned if member.name is not None]
    if flow.id is None or not (names or taken):
        return outsiders
    isolation = yield from ask(Operation(statement("lock_workflow"), {"workflow_id": flow.id}, _isolation))
    if isolation == "repeatable read":
        raise WorkflowError(
            f"names in workflow {flow.id} cannot be looked up in a REPEATABLE READ transaction, which does not see "
            "what others have just added: use READ COMMITTED, or SERIALIZABLE, where one of two such transactions fails"
        )
    params = {"workflow_id": flow.id, "names": [*names, *taken]}
    found = yield from ask(Operation(statement("read_workflow_names"), params, _ids_by_name))
    for name in taken:
        if name in found:
            raise WorkflowError(f"workflow {flow.id} has a job called {name!r} already: job {found[name]}")
    for name in names:
        if name not in found:
            raise WorkflowError(f"workflow {flow.id} has no job called {name!r}")
    return outsiders | {name: found[name] for name in names}


class _Row(NamedTuple):
    id: int
    dedupe_key: str | None


def _enqueue(
    workflow_id: UUID, batch: Sequence[Planned], ids: Mapping[int, int], outsiders: Mapping[int | str, int]
) -> Operation[list[_Row]]:
    columns: dict[str, list[Any]] = {
        name: [getattr(member.call, name) for member, _ in batch] for name in _COLUMNS if name != "name"
    }
    places = {member.position: place for place, (member, _) in enumerate(batch, start=1)}
    edges: dict[tuple[int, int | None, int | None], str] = {}
    for place, (_, parents) in enumerate(batch, start=1):
        for edge in parents:
            parent_id = _parent_id(edge, ids, outsiders)
            parent = None if edge.position is None else places.get(edge.position)
            edges[place, parent if parent_id is None else None, parent_id] = edge.on_failure
    counts = [0] * len(batch)
    for place, _, _ in edges:
        counts[place - 1] += 1
    params = {
        **enqueue_params(columns),
        "workflow_id": workflow_id,
        "names": [member.name for member, _ in batch],
        "parents_counts": counts,
        "edge_children": [child for child, _, _ in edges],
        "edge_parents": [parent for _, parent, _ in edges],
        "edge_parent_ids": [parent_id for _, _, parent_id in edges],
        "edge_policies": list(edges.values()),
    }
    return Operation(statement("enqueue_workflow"), params, _rows)


def _parent_id(edge: Edge, ids: Mapping[int, int], outsiders: Mapping[int | str, int]) -> int | None:
    """The id of a parent that has been added before; None if it comes with the same statement."""
    if edge.position is not None:
        return ids.get(edge.position)
    return None if edge.outsider is None else outsiders[edge.outsider]


def _withdraw(job_ids: Sequence[int]) -> Steps[None]:
    # All with one statement: they depend on each other.
    yield from ask(operations.withdraw(job_ids))


def _missing(wanted: Sequence[str | None], found: Sequence[str | None]) -> list[str]:
    left = list(found)
    missing = []
    for key in wanted:
        if key is not None and key in left:
            left.remove(key)
        elif key is not None:
            missing.append(key)
    return missing


# Reading


def _isolation(rows: Sequence[Row]) -> str:
    return str(rows[0][1])


def _first_column(rows: Sequence[Row]) -> list[int]:
    return [row[0] for row in rows]


def _rows(rows: Sequence[Row]) -> list[_Row]:
    return [_Row(*row) for row in rows]


def _ids_by_name(rows: Sequence[Row]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows}


def _workflow_jobs(rows: Sequence[Row]) -> list[WorkflowJob]:
    return [
        WorkflowJob(
            id,
            name,
            entrypoint,
            queue,
            read_status(status),
            error,
            dict(zip(parent_ids, policies, strict=True)),
        )
        for id, name, entrypoint, queue, status, error, parent_ids, policies in rows
    ]


def _progress_by_id(rows: Sequence[Row]) -> dict[UUID, WorkflowProgress]:
    counts: dict[UUID, dict[Any, int]] = defaultdict(dict)
    for workflow_id, status, count in rows:
        counts[workflow_id][read_status(status)] = count
    return {workflow_id: WorkflowProgress(workflow_id, found) for workflow_id, found in counts.items()}


def _parents(rows: Sequence[Row]) -> Parents:
    return Parents(
        Parent(id, name, entrypoint, read_status(status), error, result)
        for id, name, entrypoint, status, result, error in rows
    )
