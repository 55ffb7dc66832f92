"""Schema version 1."""

import datetime

import django.core.validators
from django.db import migrations, models

from pgq_orm_django.fields import Reference, TextArrayField, TransactionNow
from pgq_orm_django.schema import SchemaStep


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        SchemaStep(
            to=1,
            since=0,
            state_operations=[
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("lease", models.BigIntegerField(db_default=0, editable=False)),
                        ("created", models.DateTimeField(db_default=TransactionNow())),
                        ("updated", models.DateTimeField(db_default=TransactionNow())),
                        ("execute_after", models.DateTimeField(db_default=TransactionNow())),
                        ("priority", models.IntegerField(db_default=0)),
                        ("attempts", models.IntegerField(db_default=0)),
                        (
                            "status",
                            models.TextField(
                                choices=[("waiting", "waiting"), ("queued", "queued"), ("picked", "picked")],
                                db_default="queued",
                            ),
                        ),
                        ("queue", models.TextField(db_default="default")),
                        ("entrypoint", models.TextField()),
                        ("payload", models.BinaryField(blank=True, null=True)),
                        ("arguments", models.JSONField(blank=True, null=True)),
                        ("headers", models.JSONField(blank=True, null=True)),
                        ("dedupe_key", models.TextField(blank=True, null=True)),
                        ("max_attempts", models.IntegerField(blank=True, null=True)),
                        ("worker_id", models.UUIDField(blank=True, null=True)),
                        ("cancel_requested", models.DateTimeField(blank=True, null=True)),
                        ("schedule_id", models.BigIntegerField(blank=True, null=True)),
                        ("workflow_id", models.UUIDField(blank=True, null=True)),
                        ("concurrency_key", models.TextField(blank=True, null=True)),
                        ("name", models.TextField(blank=True, null=True)),
                        ("waits_for", models.IntegerField(blank=True, editable=False, null=True)),
                        ("worker", Reference("pgq_orm_django.worker", "worker_id", related_name="jobs")),
                        (
                            "schedule",
                            Reference("pgq_orm_django.schedule", "schedule_id", related_name="jobs"),
                        ),
                    ],
                    options={
                        "db_table": "pgq_job",
                        "required_db_vendor": "postgresql",
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(status__in=["waiting", "queued", "picked"]),
                                name="pgq_job_status_check",
                            ),
                            models.CheckConstraint(
                                condition=~models.Q(entrypoint=""), name="pgq_job_entrypoint_check"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    created__gte=datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
                                )
                                & models.Q(created__lt=datetime.datetime(9001, 1, 1, tzinfo=datetime.UTC)),
                                name="pgq_job_created_check",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    execute_after__gte=datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
                                )
                                & models.Q(
                                    execute_after__lt=datetime.datetime(9001, 1, 1, tzinfo=datetime.UTC)
                                ),
                                name="pgq_job_execute_after_check",
                            ),
                            models.UniqueConstraint(
                                fields=["dedupe_key"],
                                condition=models.Q(dedupe_key__isnull=False),
                                name="pgq_job_dedupe_key",
                            ),
                        ],
                        "indexes": [
                            models.Index(
                                fields=["queue", "-priority", "id"],
                                condition=models.Q(status="queued")
                                & models.Q(execute_after__lte=models.F("updated")),
                                name="pgq_job_ready",
                            ),
                            models.Index(
                                fields=["queue", "entrypoint", "-priority", "id"],
                                condition=models.Q(status="queued")
                                & models.Q(execute_after__lte=models.F("updated")),
                                name="pgq_job_ready_entrypoint",
                            ),
                            models.Index(
                                fields=["queue", "entrypoint", "concurrency_key", "-priority", "id"],
                                condition=models.Q(status="queued")
                                & models.Q(execute_after__lte=models.F("updated"))
                                & models.Q(concurrency_key__isnull=False),
                                name="pgq_job_ready_key",
                            ),
                            models.Index(
                                fields=["execute_after"],
                                condition=models.Q(status="queued")
                                & models.Q(execute_after__gt=models.F("updated")),
                                name="pgq_job_deferred",
                            ),
                            models.Index(
                                fields=["entrypoint", "worker_id"],
                                condition=models.Q(status="picked"),
                                name="pgq_job_picked",
                            ),
                            models.Index(
                                fields=["workflow_id", "name"],
                                condition=models.Q(workflow_id__isnull=False),
                                name="pgq_job_workflow",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Log",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("job_id", models.BigIntegerField()),
                        ("created", models.DateTimeField(db_default=TransactionNow())),
                        ("enqueued", models.DateTimeField()),
                        ("execute_after", models.DateTimeField()),
                        ("started", models.DateTimeField(blank=True, null=True)),
                        ("priority", models.IntegerField()),
                        ("attempt", models.IntegerField()),
                        ("retried", models.BooleanField(db_default=False)),
                        (
                            "status",
                            models.TextField(
                                choices=[
                                    ("successful", "successful"),
                                    ("exception", "exception"),
                                    ("canceled", "canceled"),
                                ],
                            ),
                        ),
                        ("queue", models.TextField()),
                        ("entrypoint", models.TextField()),
                        ("worker_id", models.UUIDField(blank=True, null=True)),
                        ("duration", models.DurationField(blank=True, null=True)),
                        ("result", models.JSONField(blank=True, null=True)),
                        ("error", models.TextField(blank=True, null=True)),
                        ("traceback", models.TextField(blank=True, null=True)),
                        ("payload", models.BinaryField(blank=True, null=True)),
                        ("arguments", models.JSONField(blank=True, null=True)),
                        ("headers", models.JSONField(blank=True, null=True)),
                        ("dedupe_key", models.TextField(blank=True, null=True)),
                        ("max_attempts", models.IntegerField(blank=True, null=True)),
                        ("schedule_id", models.BigIntegerField(blank=True, null=True)),
                        ("workflow_id", models.UUIDField(blank=True, null=True)),
                        ("concurrency_key", models.TextField(blank=True, null=True)),
                        ("name", models.TextField(blank=True, null=True)),
                        ("requeued_as", models.BigIntegerField(blank=True, null=True)),
                        ("job", Reference("pgq_orm_django.job", "job_id", related_name="logs")),
                        ("worker", Reference("pgq_orm_django.worker", "worker_id", related_name="logs")),
                        (
                            "schedule",
                            Reference("pgq_orm_django.schedule", "schedule_id", related_name="logs"),
                        ),
                    ],
                    options={
                        "db_table": "pgq_log",
                        "verbose_name": "log row",
                        "required_db_vendor": "postgresql",
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(status__in=["successful", "exception", "canceled"]),
                                name="pgq_log_status_check",
                            ),
                        ],
                        "indexes": [
                            models.Index(fields=["job_id"], name="pgq_log_job"),
                            models.Index(
                                fields=["id"],
                                condition=models.Q(status="exception") & models.Q(retried=False),
                                name="pgq_log_failed",
                            ),
                            models.Index(
                                fields=["workflow_id", "name"],
                                condition=models.Q(workflow_id__isnull=False),
                                name="pgq_log_workflow",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Schedule",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("created", models.DateTimeField(db_default=TransactionNow())),
                        ("updated", models.DateTimeField(db_default=TransactionNow())),
                        ("next_run", models.DateTimeField()),
                        ("last_run", models.DateTimeField(blank=True, null=True)),
                        ("priority", models.IntegerField(db_default=0)),
                        ("paused", models.BooleanField(db_default=False)),
                        ("entrypoint", models.TextField()),
                        ("expression", models.TextField()),
                        ("timezone", models.TextField(db_default="UTC")),
                        ("catch_up", models.TextField(db_default="latest")),
                        ("queue", models.TextField(db_default="default")),
                        ("payload", models.BinaryField(blank=True, null=True)),
                        ("arguments", models.JSONField(blank=True, null=True)),
                        ("headers", models.JSONField(blank=True, null=True)),
                    ],
                    options={
                        "db_table": "pgq_schedule",
                        "required_db_vendor": "postgresql",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=["entrypoint", "expression"], name="pgq_schedule_key"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(catch_up__in=["latest", "all", "none"]),
                                name="pgq_schedule_catch_up_check",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    next_run__gte=datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
                                )
                                & models.Q(next_run__lt=datetime.datetime(9001, 1, 1, tzinfo=datetime.UTC)),
                                name="pgq_schedule_next_run_check",
                                violation_error_message="The next run must lie in the years 1900 to 9000.",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    last_run__gte=datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
                                )
                                & models.Q(last_run__lt=datetime.datetime(9001, 1, 1, tzinfo=datetime.UTC)),
                                name="pgq_schedule_last_run_check",
                                violation_error_message="The last run must lie in the years 1900 to 9000.",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Worker",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("created", models.DateTimeField(db_default=TransactionNow())),
                        ("heartbeat", models.DateTimeField(db_default=TransactionNow())),
                        ("lease_seconds", models.FloatField()),
                        ("pid", models.IntegerField()),
                        ("hostname", models.TextField()),
                        ("queues", TextArrayField()),
                        ("entrypoints", TextArrayField()),
                    ],
                    options={
                        "db_table": "pgq_worker",
                        "required_db_vendor": "postgresql",
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(lease_seconds__gt=0)
                                & models.Q(lease_seconds__lte=31536000),
                                name="pgq_worker_lease_seconds_check",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Queue",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("created", models.DateTimeField(db_default=TransactionNow(), editable=False)),
                        ("updated", models.DateTimeField(db_default=TransactionNow(), editable=False)),
                        (
                            "name",
                            models.TextField(validators=[django.core.validators.MaxLengthValidator(500)]),
                        ),
                        (
                            "concurrency",
                            models.IntegerField(
                                blank=True,
                                help_text="How many of its jobs run at a time in each worker process. Empty for "
                                "no limit.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(
                                        1,
                                        "At least 1, or empty for no limit. To let none of its jobs run, pause the "
                                        "queue.",
                                    )
                                ],
                            ),
                        ),
                        (
                            "rate_limit",
                            models.IntegerField(
                                blank=True,
                                help_text="How many of its jobs may start within the window, in all worker "
                                "processes together.",
                                null=True,
                                validators=[
                                    django.core.validators.MinValueValidator(
                                        1,
                                        "At least 1, or empty for no limit. To let none of its jobs run, pause the "
                                        "queue.",
                                    )
                                ],
                            ),
                        ),
                        (
                            "rate_limit_window",
                            models.DurationField(
                                db_default=datetime.timedelta(seconds=1),
                                default=datetime.timedelta(seconds=1),
                                help_text="In seconds, or as 01:30:00.",
                            ),
                        ),
                        ("paused", models.BooleanField(db_default=False, default=False)),
                        (
                            "resume_at",
                            models.DateTimeField(
                                blank=True,
                                help_text="When the pause ends by itself; none is needed to end it by hand.",
                                null=True,
                            ),
                        ),
                    ],
                    options={
                        "db_table": "pgq_queue",
                        "required_db_vendor": "postgresql",
                        "constraints": [
                            models.UniqueConstraint(fields=["name"], name="pgq_queue_name_key"),
                            models.CheckConstraint(condition=~models.Q(name=""), name="pgq_queue_name_check"),
                            models.CheckConstraint(
                                condition=models.Q(concurrency__gt=0), name="pgq_queue_concurrency_check"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(rate_limit__gt=0), name="pgq_queue_rate_limit_check"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(rate_limit_window__gt=datetime.timedelta(0)),
                                name="pgq_queue_rate_limit_window_check",
                                violation_error_message="The rate limit window must be longer than no time.",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(paused=True) | models.Q(resume_at__isnull=True),
                                name="pgq_queue_resume_at_check",
                                violation_error_message="Only a paused queue can be resumed at a time.",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    resume_at__gte=datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
                                )
                                & models.Q(resume_at__lt=datetime.datetime(9001, 1, 1, tzinfo=datetime.UTC)),
                                name="pgq_queue_resume_at_years_check",
                                violation_error_message="The end of a pause must lie in the years 1900 to 9000.",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Dependency",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "job_id",
                                "depends_on",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("job_id", models.BigIntegerField()),
                        ("depends_on", models.BigIntegerField()),
                        (
                            "on_failure",
                            models.TextField(
                                choices=[("cancel", "cancel"), ("ignore", "ignore"), ("wait", "wait")],
                                db_default="cancel",
                            ),
                        ),
                        ("job", Reference("pgq_orm_django.job", "job_id", related_name="dependencies")),
                        ("parent", Reference("pgq_orm_django.job", "depends_on", related_name="dependents")),
                    ],
                    options={
                        "db_table": "pgq_dependency",
                        "verbose_name_plural": "dependencies",
                        "required_db_vendor": "postgresql",
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(on_failure__in=["cancel", "ignore", "wait"]),
                                name="pgq_dependency_on_failure_check",
                            ),
                            models.CheckConstraint(
                                condition=~models.Q(depends_on=models.F("job_id")),
                                name="pgq_dependency_depends_on_check",
                            ),
                        ],
                        "indexes": [
                            models.Index(fields=["depends_on"], name="pgq_dependency_parent"),
                        ],
                    },
                ),
            ],
        ),
    ]
