"""Workflows: jobs that depend on each other, in the caller's own transaction.

Put them together with `pgq_orm.workflows`. `pgq_orm.orchestration` says of each function what it answers and raises.
"""

from uuid import UUID

from pgq_orm import orchestration
from pgq_orm.orchestration import WorkflowHandle
from pgq_orm.parents import Parents
from pgq_orm.reports import WorkflowStatus
from pgq_orm.workflows import Chain, Group, Workflow
from pgq_orm_django import conf
from pgq_orm_django.databases import default_alias
from pgq_orm_django.registry import require
from pgq_orm_django.statements import carry_out_whole
from pgq_orm_django.twins import awaited


def enqueue_workflow(workflow: Workflow | Chain | Group, *, using: str | None = None) -> WorkflowHandle:
    """Adds the jobs of a workflow, all or none; answers their ids.

    Raises UnknownEntrypointError as `enqueue` does. No error of ours harms the transaction.
    """
    flow = workflow if isinstance(workflow, Workflow) else Workflow.of(workflow)
    if conf.current().strict_entrypoints:
        for name in {member.call.entrypoint for member in flow.members}:
            require(name)
    return carry_out_whole(orchestration.enqueue_workflow(flow), using or default_alias())


def workflow_status(workflow_id: UUID, *, using: str | None = None) -> WorkflowStatus:
    """Every job of a workflow, where it is in its life, and what it depends on."""
    return carry_out_whole(orchestration.workflow_status(workflow_id), using or default_alias())


def cancel_workflow(workflow_id: UUID, *, using: str | None = None) -> dict[int, bool]:
    """Cancels what is still to be done of a workflow."""
    return carry_out_whole(orchestration.cancel_workflow(workflow_id), using or default_alias())


def retry_workflow(workflow_id: UUID, *, using: str | None = None) -> dict[int, int]:
    """Enqueues the jobs of a workflow again that ended without success."""
    return carry_out_whole(orchestration.retry_workflow(workflow_id), using or default_alias())


def parents(job_id: int, *, using: str | None = None) -> Parents:
    """The jobs that a job depends on, with what came of them."""
    return carry_out_whole(orchestration.parents(job_id), using or default_alias())


aenqueue_workflow = awaited(enqueue_workflow)
aworkflow_status = awaited(workflow_status)
acancel_workflow = awaited(cancel_workflow)
aretry_workflow = awaited(retry_workflow)
aparents = awaited(parents)
