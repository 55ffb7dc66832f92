"""Edges: what a job depends on and what depends on it, as the admin shows it."""

from collections.abc import Iterable
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm_django.models import Dependency, Job, Log

MOST_EDGES = 50
"""How many of a job's edges on either side are shown: there may be thousands."""
NOTHING = "-"


def parents_of(job_id: int, using: str | None) -> str:
    """The jobs that a job depends on, each with its status and what becomes of the job if it fails."""
    edges = Dependency.objects.using(using).filter(job_id=job_id).order_by("depends_on")
    found = list(edges[: MOST_EDGES + 1])
    return _listed({edge.depends_on: edge.on_failure for edge in found}, using)


def children_of(job_id: int, using: str | None) -> str:
    """The jobs that depend on a job, each with its status and what becomes of it if the job fails."""
    edges = Dependency.objects.using(using).filter(depends_on=job_id).order_by("job_id")
    found = list(edges[: MOST_EDGES + 1])
    return _listed({edge.job_id: edge.on_failure for edge in found}, using)


def workflow(workflow_id: UUID | None) -> str:
    """A workflow's id, with links to its jobs."""
    if workflow_id is None:
        return NOTHING
    links = format_html_join(
        " · ",
        '<a href="{}?q={}">{}</a>',
        (
            (reverse(f"admin:pgq_orm_django_{model}_changelist"), workflow_id, words)
            for model, words in (("job", "to be done"), ("log", "done"))
        ),
    )
    return format_html("{} ({})", workflow_id, links)


def _listed(policies: dict[int, str], using: str | None) -> str:
    shown = list(policies)[:MOST_EDGES]
    pages = _pages(shown, using)
    lines = format_html_join(
        "",
        "<li>{}, if it fails: {}</li>",
        ((pages.get(job_id, f"job {job_id} (removed)"), policies[job_id]) for job_id in shown),
    )
    if not shown:
        return NOTHING
    more = "<li>…</li>" if len(policies) > MOST_EDGES else ""
    return format_html("<ul>{}{}</ul>", lines, SafeString(more))


def _pages(job_ids: Iterable[int], using: str | None) -> dict[int, str]:
    """A link to the page of each job: the job's own, or that of its last attempt."""
    pages: dict[int, str] = {}
    for log in Log.objects.using(using).final().filter(job_id__in=job_ids):
        pages[log.job_id] = _link(
            "log", log.pk, log.job_id, log.name or log.entrypoint, LogStatus(log.status)
        )
    for job in Job.objects.using(using).filter(pk__in=job_ids):
        pages[job.pk] = _link("job", job.pk, job.pk, job.name or job.entrypoint, JobStatus(job.status))
    return pages


def _link(model: str, key: int, job_id: int, name: str, status: JobStatus | LogStatus) -> str:
    page = reverse(f"admin:pgq_orm_django_{model}_change", args=[key])
    return format_html('<a href="{}">job {}</a> ({}), {}', page, job_id, name, status.value)
