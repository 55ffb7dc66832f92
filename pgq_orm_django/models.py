"""The tables as models. Every default is left to the database; plain SQL and the ORM make the same rows.

The immutable snapshot that a handler is given is `pgq_orm.models.Job`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.validators import MaxLengthValidator, MinValueValidator
from django.db import models
from django.db.models import CheckConstraint, F, Index, Q, UniqueConstraint

from pgq_orm.statuses import JobStatus, LogStatus, OnFailure
from pgq_orm.storable import NAME_LENGTH, YEARS
from pgq_orm_django.fields import Reference, TextArrayField, TransactionNow
from pgq_orm_django.querysets import (
    JobQuerySet,
    LogQuerySet,
    QueueQuerySet,
    ScheduleQuerySet,
    WorkerQuerySet,
)

if not apps.is_installed("pgq_orm_django"):
    # Django's own words are about an app_label that is missing, which helps the author of models and nobody else.
    raise ImproperlyConfigured(
        "the job queue is not among the installed apps: add 'pgq_orm_django' to INSTALLED_APPS in the settings, and "
        "create its tables: python manage.py migrate"
    )


def _within_years(column: str) -> Q:
    """The condition that an instant can be stored: that every driver can read it."""
    first, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (YEARS.start, YEARS.stop))
    return Q((f"{column}__gte", first)) & Q((f"{column}__lt", end))


class Job(models.Model):
    """A job that is still to be done. Once done it leaves this table, and its attempts are found in `Log`."""

    id = models.BigAutoField(primary_key=True)
    lease = models.BigIntegerField(db_default=0, editable=False)
    created = models.DateTimeField(db_default=TransactionNow())
    updated = models.DateTimeField(db_default=TransactionNow())
    execute_after = models.DateTimeField(db_default=TransactionNow())
    priority = models.IntegerField(db_default=0)
    attempts = models.IntegerField(db_default=0)
    status = models.TextField(
        choices=[(status.value, status.value) for status in JobStatus], db_default=JobStatus.QUEUED.value
    )
    queue = models.TextField(db_default="default")
    entrypoint = models.TextField()
    payload = models.BinaryField(null=True, blank=True)
    arguments = models.JSONField(null=True, blank=True)
    headers = models.JSONField(null=True, blank=True)
    dedupe_key = models.TextField(null=True, blank=True)
    max_attempts = models.IntegerField(null=True, blank=True)
    worker_id = models.UUIDField(null=True, blank=True)
    cancel_requested = models.DateTimeField(null=True, blank=True)
    schedule_id = models.BigIntegerField(null=True, blank=True)
    workflow_id = models.UUIDField(null=True, blank=True)
    concurrency_key = models.TextField(null=True, blank=True)
    name = models.TextField(null=True, blank=True)
    waits_for = models.IntegerField(null=True, blank=True, editable=False)

    worker = Reference("Worker", "worker_id", related_name="jobs")
    schedule = Reference("Schedule", "schedule_id", related_name="jobs")

    objects = JobQuerySet.as_manager()

    ENQUEUER_FIELDS = frozenset(
        {
            "execute_after",
            "priority",
            "queue",
            "entrypoint",
            "payload",
            "arguments",
            "headers",
            "dedupe_key",
            "max_attempts",
            "workflow_id",
            "concurrency_key",
            "name",
        }
    )

    class Meta:
        db_table = "pgq_job"
        required_db_vendor = "postgresql"
        constraints = [
            CheckConstraint(
                condition=Q(status__in=[status.value for status in JobStatus]), name="pgq_job_status_check"
            ),
            CheckConstraint(condition=~Q(entrypoint=""), name="pgq_job_entrypoint_check"),
            CheckConstraint(condition=_within_years("created"), name="pgq_job_created_check"),
            CheckConstraint(condition=_within_years("execute_after"), name="pgq_job_execute_after_check"),
            UniqueConstraint(
                fields=["dedupe_key"], condition=Q(dedupe_key__isnull=False), name="pgq_job_dedupe_key"
            ),
        ]
        indexes = [
            Index(
                fields=["queue", "-priority", "id"],
                condition=Q(status="queued") & Q(execute_after__lte=F("updated")),
                name="pgq_job_ready",
            ),
            Index(
                fields=["queue", "entrypoint", "-priority", "id"],
                condition=Q(status="queued") & Q(execute_after__lte=F("updated")),
                name="pgq_job_ready_entrypoint",
            ),
            Index(
                fields=["queue", "entrypoint", "concurrency_key", "-priority", "id"],
                condition=Q(status="queued")
                & Q(execute_after__lte=F("updated"))
                & Q(concurrency_key__isnull=False),
                name="pgq_job_ready_key",
            ),
            Index(
                fields=["execute_after"],
                condition=Q(status="queued") & Q(execute_after__gt=F("updated")),
                name="pgq_job_deferred",
            ),
            Index(fields=["entrypoint", "worker_id"], condition=Q(status="picked"), name="pgq_job_picked"),
            Index(
                fields=["workflow_id", "name"],
                condition=Q(workflow_id__isnull=False),
                name="pgq_job_workflow",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entrypoint} {self.pk}"

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Adds the job, or changes the columns that are the enqueuer's.

        The worker's columns are left alone unless `update_fields` names them: the job may have been picked since it
        was read, and its lease must not be turned back. A job that is done by now raises DatabaseError, rather than
        being added a second time.
        """
        if update_fields is None and not self._state.adding:
            update_fields = self.ENQUEUER_FIELDS - self.get_deferred_fields()
        super().save(update_fields=update_fields, **options)


class Log(models.Model):
    """An attempt that has ended. A job that was tried three times has three rows, the last with `retried` false."""

    id = models.BigAutoField(primary_key=True)
    job_id = models.BigIntegerField()
    created = models.DateTimeField(db_default=TransactionNow())
    enqueued = models.DateTimeField()
    execute_after = models.DateTimeField()
    started = models.DateTimeField(null=True, blank=True)
    priority = models.IntegerField()
    attempt = models.IntegerField()
    retried = models.BooleanField(db_default=False)
    status = models.TextField(choices=[(status.value, status.value) for status in LogStatus])
    queue = models.TextField()
    entrypoint = models.TextField()
    worker_id = models.UUIDField(null=True, blank=True)
    duration = models.DurationField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(null=True, blank=True)
    traceback = models.TextField(null=True, blank=True)
    payload = models.BinaryField(null=True, blank=True)
    arguments = models.JSONField(null=True, blank=True)
    headers = models.JSONField(null=True, blank=True)
    dedupe_key = models.TextField(null=True, blank=True)
    max_attempts = models.IntegerField(null=True, blank=True)
    schedule_id = models.BigIntegerField(null=True, blank=True)
    workflow_id = models.UUIDField(null=True, blank=True)
    concurrency_key = models.TextField(null=True, blank=True)
    name = models.TextField(null=True, blank=True)
    requeued_as = models.BigIntegerField(null=True, blank=True)

    job = Reference("Job", "job_id", related_name="logs")
    worker = Reference("Worker", "worker_id", related_name="logs")
    schedule = Reference("Schedule", "schedule_id", related_name="logs")

    objects = LogQuerySet.as_manager()

    class Meta:
        db_table = "pgq_log"
        required_db_vendor = "postgresql"
        verbose_name = "log row"
        constraints = [
            CheckConstraint(
                condition=Q(status__in=[status.value for status in LogStatus]), name="pgq_log_status_check"
            ),
        ]
        indexes = [
            Index(fields=["job_id"], name="pgq_log_job"),
            Index(fields=["id"], condition=Q(status="exception") & Q(retried=False), name="pgq_log_failed"),
            Index(
                fields=["workflow_id", "name"],
                condition=Q(workflow_id__isnull=False),
                name="pgq_log_workflow",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entrypoint} {self.job_id}, attempt {self.attempt}: {self.status}"


class Schedule(models.Model):
    """A recurring job: at each tick of its cron expression a job is enqueued."""

    id = models.BigAutoField(primary_key=True)
    created = models.DateTimeField(db_default=TransactionNow())
    updated = models.DateTimeField(db_default=TransactionNow())
    next_run = models.DateTimeField()
    last_run = models.DateTimeField(null=True, blank=True)
    priority = models.IntegerField(db_default=0)
    paused = models.BooleanField(db_default=False)
    entrypoint = models.TextField()
    expression = models.TextField()
    timezone = models.TextField(db_default="UTC")
    catch_up = models.TextField(db_default="latest")
    queue = models.TextField(db_default="default")
    payload = models.BinaryField(null=True, blank=True)
    arguments = models.JSONField(null=True, blank=True)
    headers = models.JSONField(null=True, blank=True)

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        db_table = "pgq_schedule"
        required_db_vendor = "postgresql"
        constraints = [
            UniqueConstraint(fields=["entrypoint", "expression"], name="pgq_schedule_key"),
            CheckConstraint(
                condition=Q(catch_up__in=["latest", "all", "none"]), name="pgq_schedule_catch_up_check"
            ),
            CheckConstraint(
                condition=_within_years("next_run"),
                name="pgq_schedule_next_run_check",
                violation_error_message="The next run must lie in the years 1900 to 9000.",
            ),
            CheckConstraint(
                condition=_within_years("last_run"),
                name="pgq_schedule_last_run_check",
                violation_error_message="The last run must lie in the years 1900 to 9000.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entrypoint} at {self.expression}"


class Worker(models.Model):
    """A running worker process."""

    id = models.UUIDField(primary_key=True)
    created = models.DateTimeField(db_default=TransactionNow())
    heartbeat = models.DateTimeField(db_default=TransactionNow())
    lease_seconds = models.FloatField()
    pid = models.IntegerField()
    hostname = models.TextField()
    queues = TextArrayField()
    entrypoints = TextArrayField()

    objects = WorkerQuerySet.as_manager()

    class Meta:
        db_table = "pgq_worker"
        required_db_vendor = "postgresql"
        constraints = [
            CheckConstraint(
                condition=Q(lease_seconds__gt=0) & Q(lease_seconds__lte=31536000),
                name="pgq_worker_lease_seconds_check",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pid} on {self.hostname}"


AT_LEAST_ONE = MinValueValidator(
    1, "At least 1, or empty for no limit. To let none of its jobs run, pause the queue."
)


class Queue(models.Model):
    """What is said of a queue at run time; one without a row is not paused and has no limits of its own.

    A change tells running workers at the commit. `pgq_orm.queues.Queue` is what an application declares in code.
    """

    id = models.BigAutoField(primary_key=True)
    created = models.DateTimeField(db_default=TransactionNow(), editable=False)
    updated = models.DateTimeField(db_default=TransactionNow(), editable=False)
    name = models.TextField(validators=[MaxLengthValidator(NAME_LENGTH)])
    concurrency = models.IntegerField(
        null=True,
        blank=True,
        validators=[AT_LEAST_ONE],
        help_text="How many of its jobs run at a time in each worker process. Empty for no limit.",
    )
    rate_limit = models.IntegerField(
        null=True,
        blank=True,
        validators=[AT_LEAST_ONE],
        help_text="How many of its jobs may start within the window, in all worker processes together.",
    )
    rate_limit_window = models.DurationField(
        db_default=timedelta(seconds=1),
        default=timedelta(seconds=1),
        help_text="In seconds, or as 01:30:00.",
    )
    paused = models.BooleanField(db_default=False, default=False)
    resume_at = models.DateTimeField(
        null=True, blank=True, help_text="When the pause ends by itself; none is needed to end it by hand."
    )

    objects = QueueQuerySet.as_manager()

    class Meta:
        db_table = "pgq_queue"
        required_db_vendor = "postgresql"
        constraints = [
            UniqueConstraint(fields=["name"], name="pgq_queue_name_key"),
            CheckConstraint(condition=~Q(name=""), name="pgq_queue_name_check"),
            CheckConstraint(condition=Q(concurrency__gt=0), name="pgq_queue_concurrency_check"),
            CheckConstraint(condition=Q(rate_limit__gt=0), name="pgq_queue_rate_limit_check"),
            CheckConstraint(
                condition=Q(rate_limit_window__gt=timedelta(0)),
                name="pgq_queue_rate_limit_window_check",
                violation_error_message="The rate limit window must be longer than no time.",
            ),
            CheckConstraint(
                condition=Q(paused=True) | Q(resume_at__isnull=True),
                name="pgq_queue_resume_at_check",
                violation_error_message="Only a paused queue can be resumed at a time.",
            ),
            CheckConstraint(
                condition=_within_years("resume_at"),
                name="pgq_queue_resume_at_years_check",
                violation_error_message="The end of a pause must lie in the years 1900 to 9000.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Adds the row, or changes its settings, and notes when."""
        is_new = self._state.adding
        if not is_new:
            self.updated = TransactionNow()
            update_fields = None if update_fields is None else {*update_fields, "updated"}
        super().save(update_fields=update_fields, **options)
        if not is_new:
            self.refresh_from_db(fields=["updated"])


class Dependency(models.Model):
    """An edge of a workflow: the job waits until the parent has ended, from when the edge is added."""

    pk = models.CompositePrimaryKey("job_id", "depends_on")
    job_id = models.BigIntegerField()
    depends_on = models.BigIntegerField()
    on_failure = models.TextField(
        choices=[(policy, policy) for policy in get_args(OnFailure)], db_default="cancel"
    )

    job = Reference("Job", "job_id", related_name="dependencies")
    parent = Reference("Job", "depends_on", related_name="dependents")

    class Meta:
        db_table = "pgq_dependency"
        required_db_vendor = "postgresql"
        verbose_name_plural = "dependencies"
        constraints = [
            CheckConstraint(
                condition=Q(on_failure__in=["cancel", "ignore", "wait"]),
                name="pgq_dependency_on_failure_check",
            ),
            CheckConstraint(condition=~Q(depends_on=F("job_id")), name="pgq_dependency_depends_on_check"),
        ]
        indexes = [
            Index(fields=["depends_on"], name="pgq_dependency_parent"),
        ]

    def __str__(self) -> str:
        return f"job {self.job_id} after {self.depends_on}"
