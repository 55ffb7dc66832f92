"""Admin: what the queue holds and what became of it, to be read. Rows belong to the workers, and are never edited."""

import json
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html

from pgq_orm_django import queries
from pgq_orm_django.models import Job, Log, Schedule, Worker
from pgq_orm_django.querysets import WorkerQuerySet
from pgq_orm_django.registry import registry

if TYPE_CHECKING:
    Rows = QuerySet[Model]
    RowPaginator = Paginator[Model]
    RowAdmin = admin.ModelAdmin[Model]
else:
    RowPaginator = Paginator
    RowAdmin = admin.ModelAdmin


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

    def get_search_results(
        self, request: HttpRequest, queryset: "Rows", search_term: str
    ) -> tuple["Rows", bool]:
        if search_term.strip().isdecimal():
            return queryset.filter(**{self.number_field: int(search_term)}), False
        return super().get_search_results(request, queryset, search_term)

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


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """What is still to be done."""

    list_display = (
        "id",
        "entrypoint",
        "queue",
        "status",
        "priority",
        "execute_after",
        "attempts",
        "created",
        "cancel_requested",
    )
    list_filter = (
        "status",
        EntrypointFilter,
        QueueFilter,
        ("execute_after", admin.DateFieldListFilter),
        ("created", admin.DateFieldListFilter),
    )
    search_fields = ("entrypoint", "dedupe_key")
    search_help_text = "A job's number, or part of an entrypoint or a dedupe_key"
    ordering = ("-id",)
    readonly_fields = CONTENT
    fieldsets = (
        (None, {"fields": ("id", "entrypoint", "queue", "status", "priority", "execute_after")}),
        ("Content", {"fields": (*CONTENT, "dedupe_key")}),
        ("Attempts", {"fields": ("attempts", "max_attempts", "worker_id", "lease", "cancel_requested")}),
        ("Origin", {"fields": ("created", "updated", "schedule_id", "workflow_id", "concurrency_key")}),
    )
    actions = ("cancel",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the user may tell the queue what to do: asks for `change_job`, though no row can be edited."""
        return super(ReadOnlyAdmin, self).has_change_permission(request)

    @admin.action(description="Cancel selected jobs", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: "Rows") -> None:
        """Ends jobs that wait, and asks running ones to stop."""
        is_running = queries.cancel(list(queryset.values_list("pk", flat=True)), using=queryset.db)
        asked = sum(is_running.values())
        self.message_user(
            request,
            f"{len(is_running) - asked} canceled, {asked} running and asked to stop.",
            messages.SUCCESS,
        )


@admin.register(Log)
class LogAdmin(ReadOnlyAdmin):
    """What has been done."""

    list_display = (
        "job_id",
        "entrypoint",
        "queue",
        "status",
        "attempt",
        "retried",
        "created",
        "duration",
        "short_error",
    )
    list_filter = (
        "status",
        "retried",
        EntrypointFilter,
        QueueFilter,
        ("created", admin.DateFieldListFilter),
    )
    search_fields = ("entrypoint", "dedupe_key", "error")
    search_help_text = "A job's number, or part of an entrypoint, a dedupe_key or an error"
    number_field = "job_id"
    ordering = ("-id",)
    readonly_fields = (*CONTENT, "readable_result", "readable_traceback")
    fieldsets = (
        (None, {"fields": ("job_id", "entrypoint", "queue", "status", "attempt", "retried", "worker_id")}),
        ("Outcome", {"fields": ("readable_result", "error", "readable_traceback")}),
        ("Times", {"fields": ("enqueued", "execute_after", "started", "duration", "created")}),
        ("Content", {"fields": (*CONTENT, "dedupe_key", "priority", "max_attempts")}),
        ("Origin", {"fields": ("schedule_id", "workflow_id", "concurrency_key")}),
    )

    @admin.display(description="error")
    def short_error(self, log: Log) -> str:
        return (log.error or "")[:80]


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """What recurs."""

    list_display = ("entrypoint", "expression", "timezone", "next_run", "last_run", "paused", "queue")
    list_filter = ("paused",)
    search_fields = ("entrypoint",)
    ordering = ("entrypoint", "expression")
    readonly_fields = CONTENT
    fieldsets = (
        (None, {"fields": ("entrypoint", "expression", "timezone", "paused", "catch_up")}),
        ("Times", {"fields": ("next_run", "last_run", "created", "updated")}),
        ("Jobs", {"fields": ("queue", "priority", *CONTENT)}),
    )


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


def _text(payload: bytes | memoryview | None) -> str | None:
    if payload is None:
        return None
    try:
        return bytes(payload).decode()
    except UnicodeDecodeError:
        return bytes(payload).hex(" ", 4)


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _block(text: str | None) -> str:
    return "-" if text is None else format_html("<pre>{}</pre>", text)
