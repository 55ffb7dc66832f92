"""Admin: what the queue holds and what became of it, to be read: rows belong to the workers, and are never edited.

What may be edited is what is said of queues.
"""

import json
from collections.abc import Iterator, Mapping, Sized
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.paginator import Paginator
from django.db.models import F, Model, QuerySet, TextField
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.text import Truncator

from pgq_orm.callees import NAMED_BY, title
from pgq_orm.errors import RequeueRefusedError
from pgq_orm_django import edges
from pgq_orm_django.models import Job, Log, Queue, Schedule, Worker
from pgq_orm_django.querysets import (
    JobQuerySet,
    LogQuerySet,
    QueueQuerySet,
    ScheduleQuerySet,
    WorkerQuerySet,
)
from pgq_orm_django.registry import registry

if TYPE_CHECKING:
    Rows = QuerySet[Model]
    RowPaginator = Paginator[Model]
    RowAdmin = admin.ModelAdmin[Model]
else:
    RowPaginator = Paginator
    RowAdmin = admin.ModelAdmin


MOST_REFUSALS = 10
"""How many jobs that cannot run again are told one by one: a page has room for some, and a choice thousands."""
RowsT = TypeVar("RowsT", bound="QuerySet[Any]")


class BoundedPaginator(RowPaginator):
    """Pages through the first rows of a table of any size, and never counts the others."""

    MOST_ROWS = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[: self.MOST_ROWS].count())


class ServedFilter(admin.SimpleListFilter):
    """Filters by a name that workers serve. To ask the table itself for its names would be to read all of it."""

    column: ClassVar[str]
    workers_column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        served = Worker.objects.values_list(self.workers_column, flat=True)
        names = {name for names in served for name in names} | self.known()
        if chosen := self.value():
            names.add(chosen)
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: "Rows") -> "Rows":
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset

    def known(self) -> set[str]:
        """The names known to this process."""
        return set()


class EntrypointFilter(ServedFilter):
    """Filters by entrypoint."""

    title = parameter_name = column = "entrypoint"
    workers_column = "entrypoints"

    def known(self) -> set[str]:
        return set(registry.entrypoints)


class QueueFilter(ServedFilter):
    """Filters by queue."""

    title = parameter_name = column = "queue"
    workers_column = "queues"
    MOST_LOOKS = 100

    def known(self) -> set[str]:
        return {*Queue.objects.values_list("name", flat=True)[: self.MOST_LOOKS], *self._with_ready_jobs()}

    def _with_ready_jobs(self) -> Iterator[str]:
        """From one queue to the next, along the index of ready jobs: nobody serves a queue that was misspelt."""
        ready = Job.objects.queued().filter(execute_after__lte=F("updated")).order_by("queue")
        last = ""
        for _ in range(self.MOST_LOOKS):
            found = ready.filter(queue__gt=last).values_list("queue", flat=True).first()
            if found is None:
                return
            yield (last := found)


class ActiveFilter(admin.SimpleListFilter):
    """Filters by what the column shows: a pause that is over is none, whatever the row's `paused` says."""

    title = "active"
    parameter_name = "active"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "yes":
                return queryset.active()
            case "no":
                return queryset.paused()
        return queryset


class ReadOnlyAdmin(RowAdmin):
    """Pages that show rows and change none, whatever the table's size."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    number_field = "pk"
    """The column in which a search for a number looks, by its index."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the user may tell the queue what to do: asks for `change_…`, though no row can be edited."""
        return super().has_change_permission(request)

    def get_search_results(
        self, request: HttpRequest, queryset: "Rows", search_term: str
    ) -> tuple["Rows", bool]:
        if search_term.strip().isdecimal():
            return queryset.filter(**{self.number_field: int(search_term)}), False
        if "workflow_id" in self.columns() and (workflow_id := _uuid(search_term)):
            return queryset.filter(workflow_id=workflow_id), False
        return super().get_search_results(request, queryset, search_term)

    def columns(self) -> set[str]:
        """The names of the model's columns."""
        return {field.name for field in self.model._meta.get_fields()}

    @admin.display(description="payload")
    def readable_payload(self, row: Any) -> str:
        return _block(_text(row.payload))

    @admin.display(description="arguments")
    def readable_arguments(self, row: Any) -> str:
        return _block(_json(row.arguments))

    @admin.display(description="headers")
    def readable_headers(self, row: Any) -> str:
        return _block(_json(row.headers))

    @admin.display(description="result")
    def readable_result(self, row: Any) -> str:
        return _block(_json(row.result))

    @admin.display(description="traceback")
    def readable_traceback(self, row: Any) -> str:
        return _block(row.traceback)


CONTENT = ("readable_payload", "readable_arguments", "readable_headers")
EDGES = ("readable_workflow", "depends_on", "awaited_by")
CALLEES = tuple(f"arguments__{argument}" for argument in sorted(set(NAMED_BY.values())))
"""Where jobs name the function that they call."""


class JobOfWorkflowAdmin(ReadOnlyAdmin):
    """Pages about jobs, which may depend on each other."""

    @admin.display(description="entrypoint", ordering="entrypoint")
    def called(self, row: Any) -> str:
        # The arguments of what succeeded are not kept, but the result of a framework's task repeats them.
        return title(row.entrypoint, row.arguments or _mapping(getattr(row, "result", None)))

    @admin.display(description="workflow")
    def readable_workflow(self, row: Any) -> str:
        return edges.workflow(row.workflow_id)

    @admin.display(description="depends on")
    def depends_on(self, row: Any) -> str:
        return edges.parents_of(_job_id(row), row._state.db)

    @admin.display(description="awaited by")
    def awaited_by(self, row: Any) -> str:
        return edges.children_of(_job_id(row), row._state.db)


@admin.register(Job)
class JobAdmin(JobOfWorkflowAdmin):
    """What is still to be done."""

    list_display = (
        "id",
        "called",
        "queue",
        "state",
        "priority",
        "attempts",
        "execute_after",
    )
    list_filter = (
        "status",
        EntrypointFilter,
        QueueFilter,
        ("execute_after", admin.DateFieldListFilter),
        ("created", admin.DateFieldListFilter),
    )
    search_fields = ("entrypoint", "dedupe_key", *CALLEES)
    search_help_text = (
        "A job's number, a workflow's id, or part of an entrypoint, a task's path or a dedupe_key"
    )
    ordering = ("-id",)
    readonly_fields = ("called", *CONTENT, *EDGES)
    fieldsets = (
        (None, {"fields": ("id", "called", "queue", "status", "priority", "execute_after")}),
        ("Content", {"fields": (*CONTENT, "dedupe_key")}),
        ("Attempts", {"fields": ("attempts", "max_attempts", "worker_id", "lease", "cancel_requested")}),
        ("Origin", {"fields": ("created", "updated", "schedule_id", "concurrency_key")}),
        ("Workflow", {"fields": ("name", *EDGES, "waits_for")}),
    )
    actions = ("cancel",)

    @admin.action(description="Cancel selected jobs", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: "Rows") -> None:
        """Ends jobs that wait, and asks running ones to stop."""
        is_running = _of(queryset, JobQuerySet).cancel()
        if not is_running:
            self.message_user(request, "None of them is still to be done.", messages.WARNING)
            return
        asked = sum(is_running.values())
        self.message_user(
            request,
            f"{len(is_running) - asked} canceled, {asked} running and asked to stop.",
            messages.SUCCESS,
        )

    @admin.display(description="status", ordering="status")
    def state(self, job: Job) -> str:
        return f"{job.status}, asked to stop" if job.cancel_requested else job.status


@admin.register(Log)
class LogAdmin(JobOfWorkflowAdmin):
    """What has been done."""

    list_display = (
        "job_id",
        "called",
        "queue",
        "outcome",
        "short_error",
        "attempt",
        "took",
        "created",
    )
    list_filter = (
        "status",
        "retried",
        EntrypointFilter,
        QueueFilter,
        ("created", admin.DateFieldListFilter),
    )
    search_fields = ("entrypoint", "dedupe_key", "error", *CALLEES, "result__task")
    search_help_text = (
        "A job's number, a workflow's id, or part of an entrypoint, a task's path, a dedupe_key or an error"
    )
    number_field = "job_id"
    ordering = ("-id",)
    readonly_fields = ("called", "outcome", "took", *CONTENT, "readable_result", "readable_traceback", *EDGES)
    fieldsets = (
        (None, {"fields": ("job_id", "called", "queue", "outcome", "attempt", "worker_id")}),
        ("Outcome", {"fields": ("readable_result", "error", "readable_traceback")}),
        ("Times", {"fields": ("enqueued", "execute_after", "started", "took", "created")}),
        ("Content", {"fields": (*CONTENT, "dedupe_key", "priority", "max_attempts")}),
        ("Origin", {"fields": ("schedule_id", "concurrency_key")}),
        ("Workflow", {"fields": ("name", *EDGES)}),
    )

    actions = ("requeue",)

    @admin.action(description="Run selected jobs again", permissions=["operate"])
    def requeue(self, request: HttpRequest, queryset: "Rows") -> None:
        """Enqueues jobs that have ended again; says which could not be, and why."""
        logs = _of(queryset, LogQuerySet)
        try:
            requeued = logs.requeue()
        except RequeueRefusedError as error:
            requeued = logs.requeue(on_refused="skip")
            refused = sorted(error.refusals.items())
            for job_id, reason in refused[:MOST_REFUSALS]:
                self.message_user(request, f"Job {job_id} {reason}.", messages.WARNING)
            if others := refused[MOST_REFUSALS:]:
                self.message_user(request, f"{_counted(others, 'further job')} left out.", messages.WARNING)
        if requeued:
            self.message_user(request, f"{_counted(requeued, 'job')} enqueued again.", messages.SUCCESS)

    @admin.display(description="status", ordering="status")
    def outcome(self, log: Log) -> str:
        if log.requeued_as is not None:
            return f"{log.status}, run again as job {log.requeued_as}"
        return f"{log.status}, retried" if log.retried else log.status

    @admin.display(description="duration", ordering="duration")
    def took(self, log: Log) -> str | None:
        return None if log.duration is None else _duration(log.duration)

    @admin.display(description="error")
    def short_error(self, log: Log) -> str:
        return Truncator(log.error or "").chars(80)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """What recurs."""

    list_display = ("entrypoint", "expression", "is_active", "next_run", "last_run", "timezone", "queue")
    list_filter = (ActiveFilter,)
    search_fields = ("entrypoint",)
    ordering = ("entrypoint", "expression")
    readonly_fields = CONTENT
    fieldsets = (
        (None, {"fields": ("entrypoint", "expression", "timezone", "paused", "catch_up")}),
        ("Times", {"fields": ("next_run", "last_run", "created", "updated")}),
        ("Jobs", {"fields": ("queue", "priority", *CONTENT)}),
    )

    actions = ("pause", "resume", "run_now")

    @admin.display(description="active", boolean=True, ordering="paused")
    def is_active(self, schedule: Schedule) -> bool:
        return not schedule.paused

    @admin.action(description="Pause selected schedules", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: "Rows") -> None:
        """Lets schedules rest until they are resumed."""
        paused = _of(queryset, ScheduleQuerySet).pause()
        self.message_user(request, f"{_counted(paused, 'schedule')} paused.", messages.SUCCESS)

    @admin.action(description="Resume selected schedules", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: "Rows") -> None:
        """Lets schedules fire again."""
        resumed = _of(queryset, ScheduleQuerySet).resume()
        self.message_user(request, f"{_counted(resumed, 'schedule')} resumed.", messages.SUCCESS)

    @admin.action(description="Run selected schedules now", permissions=["operate"])
    def run_now(self, request: HttpRequest, queryset: "Rows") -> None:
        """Enqueues the jobs of schedules beside their ticks."""
        answer = _of(queryset, ScheduleQuerySet).run_now()
        enqueued = [job_id for job_id in answer.values() if job_id is not None]
        if enqueued:
            self.message_user(request, f"{_counted(enqueued, 'job')} enqueued.", messages.SUCCESS)
        if busy := len(answer) - len(enqueued):
            self.message_user(
                request,
                f"{busy} left out: the job of a tick before is still to be done, and a schedule never overlaps with "
                "itself.",
                messages.WARNING,
            )


@admin.register(Queue)
class QueueAdmin(RowAdmin):
    """What is said of queues. A change reaches running workers at once."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_display = (
        "name",
        "is_active",
        "resume_at",
        "concurrency",
        "rate",
        "updated",
    )
    list_filter = (ActiveFilter,)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "concurrency", "rate_limit", "rate_limit_window", "paused", "resume_at")
    formfield_overrides: ClassVar[Any] = {TextField: {"widget": AdminTextInputWidget}}
    actions = ("pause", "resume")

    def get_queryset(self, request: HttpRequest) -> "Rows":
        return _of(super().get_queryset(request), QueueQuerySet).with_is_paused()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("name",)  # its jobs would keep the old one

    @admin.display(description="active", boolean=True)
    def is_active(self, queue: Any) -> bool:
        return not queue.is_paused

    @admin.display(description="rate limit", ordering="rate_limit")
    def rate(self, queue: Queue) -> str | None:
        if queue.rate_limit is None:
            return None
        return f"{queue.rate_limit} in {_duration(queue.rate_limit_window)}"

    @admin.action(description="Pause selected queues", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: "Rows") -> None:
        """Keeps their jobs from being picked until they are resumed."""
        paused = _of(queryset, QueueQuerySet).pause()
        self.message_user(request, f"{_counted(paused, 'queue')} paused.", messages.SUCCESS)

    @admin.action(description="Resume selected queues", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: "Rows") -> None:
        """Lets their jobs be picked again."""
        resumed = _of(queryset, QueueQuerySet).resume()
        self.message_user(request, f"{_counted(resumed, 'queue')} resumed.", messages.SUCCESS)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Who works."""

    list_display = (
        "hostname",
        "pid",
        "is_alive",
        "heartbeat",
        "created",
        "served_queues",
        "served_entrypoints",
    )
    search_fields = ("hostname",)
    number_field = "pid"
    ordering = ("hostname", "pid")
    fields = (
        "id",
        "hostname",
        "pid",
        "is_alive",
        "heartbeat",
        "lease_seconds",
        "created",
        "served_queues",
        "served_entrypoints",
    )
    readonly_fields = ("is_alive", "served_queues", "served_entrypoints")

    def get_queryset(self, request: HttpRequest) -> "Rows":
        workers = super().get_queryset(request)
        return workers.with_is_alive() if isinstance(workers, WorkerQuerySet) else workers

    @admin.display(description="alive", boolean=True)
    def is_alive(self, worker: Any) -> bool:
        return bool(worker.is_alive)

    @admin.display(description="queues")
    def served_queues(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="entrypoints")
    def served_entrypoints(self, worker: Worker) -> str:
        return ", ".join(worker.entrypoints)


def _of(rows: "Rows", kind: type[RowsT]) -> RowsT:
    """The rows of a page, which are those of its model's own QuerySet."""
    assert isinstance(rows, kind)
    return rows


def _counted(things: Sized, noun: str) -> str:
    count = len(things)
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _duration(duration: timedelta) -> str:
    """`0.123 s`, or `2:00:03` from a minute on."""
    if duration < timedelta(minutes=1):
        return f"{duration.total_seconds():.3g} s"
    return str(timedelta(seconds=round(duration.total_seconds())))


def _job_id(row: Any) -> int:
    job_id: int = row.job_id if isinstance(row, Log) else row.pk
    return job_id


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _text(payload: bytes | memoryview | None) -> str | None:
    if payload is None:
        return None
    try:
        return bytes(payload).decode()
    except UnicodeDecodeError:
        return bytes(payload).hex(" ", 4)


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _block(text: str | None) -> str:
    return "-" if text is None else format_html("<pre>{}</pre>", text)
