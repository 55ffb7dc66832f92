"""Models: the queue's tables as mapped classes, which follow the schema's SQL column by column.

The tables have no foreign keys: relationships are for reading only, and `Log.job` is None once the job is done.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, validates

from pgq_orm import storable
from pgq_orm.sqlalchemy.columns import (
    COLUMN_TYPES,
    BigInt,
    Created,
    Id,
    JsonDocument,
    Updated,
    one_of,
    within_years,
)
from pgq_orm.sqlalchemy.creation import complete
from pgq_orm.statuses import JobStatus, LogStatus, OnFailure

CatchUp: TypeAlias = Literal["latest", "all", "none"]

metadata = MetaData()
"""The queue's tables. Give it to Alembic beside your own: `target_metadata=[Base.metadata, metadata]`."""

complete(metadata)


class Base(AsyncAttrs, DeclarativeBase):
    """What the mapped classes share; not a base for an application's own models."""

    metadata = metadata
    type_annotation_map = COLUMN_TYPES
    # what the database fills in comes back with the statement: an AsyncSession could not load it later
    __mapper_args__ = {"eager_defaults": True}

    _shown: ClassVar[tuple[str, ...]]

    def __repr__(self) -> str:
        # what is loaded, and no more: a line in a log must not send a query
        shown = (f"{name}={self.__dict__[name]!r}" for name in self._shown if name in self.__dict__)
        return f"{type(self).__name__}({', '.join(shown)})"


class Job(Base):
    """What is still to be done. Adding one to a session enqueues it; the commit wakes a worker.

    Only `entrypoint` must be given; the database knows the rest. `execute_after` takes a timedelta as well.
    Raises InvalidJobError for a value that cannot be stored, as soon as it is set.
    """

    __tablename__ = "pgq_job"
    _shown = ("id", "entrypoint", "status")

    id: Mapped[Id]
    lease: Mapped[BigInt] = mapped_column(server_default=text("0"))
    created: Mapped[Created]
    updated: Mapped[Updated]
    execute_after: Mapped[datetime] = mapped_column(server_default=func.now())
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    status: Mapped[JobStatus] = mapped_column(server_default=JobStatus.QUEUED)
    queue: Mapped[str] = mapped_column(server_default="default")
    entrypoint: Mapped[str]
    payload: Mapped[bytes | None]
    arguments: Mapped[dict[str, Any] | None]
    headers: Mapped[dict[str, Any] | None]
    dedupe_key: Mapped[str | None]
    max_attempts: Mapped[int | None]
    worker_id: Mapped[UUID | None]
    cancel_requested: Mapped[datetime | None]
    schedule_id: Mapped[BigInt | None]
    workflow_id: Mapped[UUID | None]
    concurrency_key: Mapped[str | None]
    name: Mapped[str | None]
    waits_for: Mapped[int | None]

    __table_args__ = (
        CheckConstraint(one_of("status", JobStatus), name="pgq_job_status_check"),
        CheckConstraint("entrypoint <> ''", name="pgq_job_entrypoint_check"),
        CheckConstraint(within_years("created"), name="pgq_job_created_check"),
        CheckConstraint(within_years("execute_after"), name="pgq_job_execute_after_check"),
        Index(
            "pgq_job_ready",
            "queue",
            text("priority DESC"),
            "id",
            postgresql_where=text(f"status = '{JobStatus.QUEUED}' AND execute_after <= updated"),
        ),
        Index(
            "pgq_job_ready_entrypoint",
            "queue",
            "entrypoint",
            text("priority DESC"),
            "id",
            postgresql_where=text(f"status = '{JobStatus.QUEUED}' AND execute_after <= updated"),
        ),
        Index(
            "pgq_job_ready_key",
            "queue",
            "entrypoint",
            "concurrency_key",
            text("priority DESC"),
            "id",
            postgresql_where=text(
                f"status = '{JobStatus.QUEUED}' AND execute_after <= updated AND concurrency_key IS NOT NULL"
            ),
        ),
        Index(
            "pgq_job_deferred",
            "execute_after",
            postgresql_where=text(f"status = '{JobStatus.QUEUED}' AND execute_after > updated"),
        ),
        Index(
            "pgq_job_picked",
            "entrypoint",
            "worker_id",
            postgresql_where=text(f"status = '{JobStatus.PICKED}'"),
        ),
        Index(
            "pgq_job_dedupe_key",
            "dedupe_key",
            unique=True,
            postgresql_where=text("dedupe_key IS NOT NULL"),
        ),
        Index("pgq_job_workflow", "workflow_id", "name", postgresql_where=text("workflow_id IS NOT NULL")),
    )

    logs: Mapped[list["Log"]] = relationship(
        primaryjoin="Job.id == foreign(Log.job_id)", order_by="Log.id", viewonly=True
    )
    worker: Mapped["Worker | None"] = relationship(
        primaryjoin="foreign(Job.worker_id) == Worker.id", viewonly=True
    )
    schedule: Mapped["Schedule | None"] = relationship(
        primaryjoin="foreign(Job.schedule_id) == Schedule.id", viewonly=True
    )
    dependencies: Mapped[list["Dependency"]] = relationship(
        primaryjoin="Job.id == foreign(Dependency.job_id)", viewonly=True
    )
    dependents: Mapped[list["Dependency"]] = relationship(
        primaryjoin="Job.id == foreign(Dependency.depends_on)", viewonly=True
    )

    @validates(
        "entrypoint",
        "payload",
        "priority",
        "execute_after",
        "dedupe_key",
        "headers",
        "arguments",
        "queue",
        "max_attempts",
        "name",
        "concurrency_key",
    )
    def _checked(self, column: str, value: object) -> object:
        # Here and not at the flush: a flush that fails takes the session's transaction along.
        if value is None or isinstance(value, ClauseElement):
            return value
        storable.check(column, value)
        return func.now() + value if isinstance(value, timedelta) else value


class Log(Base):
    """What has been done: one row for each attempt that ended."""

    __tablename__ = "pgq_log"
    _shown = ("id", "entrypoint", "status")

    id: Mapped[Id]
    job_id: Mapped[BigInt]
    created: Mapped[Created]
    enqueued: Mapped[datetime]
    execute_after: Mapped[datetime]
    started: Mapped[datetime | None]
    priority: Mapped[int]
    attempt: Mapped[int]
    retried: Mapped[bool] = mapped_column(server_default=false())
    status: Mapped[LogStatus]
    queue: Mapped[str]
    entrypoint: Mapped[str]
    worker_id: Mapped[UUID | None]
    duration: Mapped[timedelta | None]
    result: Mapped[Any | None] = mapped_column(JsonDocument)
    error: Mapped[str | None]
    traceback: Mapped[str | None]
    payload: Mapped[bytes | None]
    arguments: Mapped[dict[str, Any] | None]
    headers: Mapped[dict[str, Any] | None]
    dedupe_key: Mapped[str | None]
    max_attempts: Mapped[int | None]
    schedule_id: Mapped[BigInt | None]
    workflow_id: Mapped[UUID | None]
    concurrency_key: Mapped[str | None]
    name: Mapped[str | None]
    requeued_as: Mapped[BigInt | None]
    """The job by which somebody ran this one again."""

    __table_args__ = (
        CheckConstraint(one_of("status", LogStatus), name="pgq_log_status_check"),
        Index("pgq_log_job", "job_id"),
        Index(
            "pgq_log_failed",
            "id",
            postgresql_where=text(f"status = '{LogStatus.EXCEPTION}' AND NOT retried"),
        ),
        Index("pgq_log_workflow", "workflow_id", "name", postgresql_where=text("workflow_id IS NOT NULL")),
    )

    job: Mapped["Job | None"] = relationship(primaryjoin="foreign(Log.job_id) == Job.id", viewonly=True)
    worker: Mapped["Worker | None"] = relationship(
        primaryjoin="foreign(Log.worker_id) == Worker.id", viewonly=True
    )
    schedule: Mapped["Schedule | None"] = relationship(
        primaryjoin="foreign(Log.schedule_id) == Schedule.id", viewonly=True
    )


class Schedule(Base):
    """A job to be enqueued again and again."""

    __tablename__ = "pgq_schedule"
    _shown = ("id", "entrypoint", "expression")

    id: Mapped[Id]
    created: Mapped[Created]
    updated: Mapped[Updated]
    next_run: Mapped[datetime]
    last_run: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    paused: Mapped[bool] = mapped_column(server_default=false())
    entrypoint: Mapped[str]
    expression: Mapped[str]
    timezone: Mapped[str] = mapped_column(server_default="UTC")
    catch_up: Mapped[CatchUp] = mapped_column(Text, server_default="latest")
    queue: Mapped[str] = mapped_column(server_default="default")
    payload: Mapped[bytes | None]
    arguments: Mapped[dict[str, Any] | None]
    headers: Mapped[dict[str, Any] | None]

    __table_args__ = (
        UniqueConstraint("entrypoint", "expression", name="pgq_schedule_key"),
        CheckConstraint(one_of("catch_up", ("latest", "all", "none")), name="pgq_schedule_catch_up_check"),
        CheckConstraint(within_years("next_run"), name="pgq_schedule_next_run_check"),
        CheckConstraint(within_years("last_run"), name="pgq_schedule_last_run_check"),
    )

    jobs: Mapped[list["Job"]] = relationship(
        primaryjoin="Schedule.id == foreign(Job.schedule_id)", order_by="Job.id", viewonly=True
    )
    logs: Mapped[list["Log"]] = relationship(
        primaryjoin="Schedule.id == foreign(Log.schedule_id)", order_by="Log.id", viewonly=True
    )


class Worker(Base):
    """A worker process that runs, or has died and was not yet found to be dead."""

    __tablename__ = "pgq_worker"
    _shown = ("id", "hostname", "pid")

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created: Mapped[Created]
    heartbeat: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_seconds: Mapped[float]
    pid: Mapped[int]
    hostname: Mapped[str]
    queues: Mapped[list[str]]
    entrypoints: Mapped[list[str]]

    jobs: Mapped[list["Job"]] = relationship(
        primaryjoin="Worker.id == foreign(Job.worker_id)", order_by="Job.id", viewonly=True
    )
    logs: Mapped[list["Log"]] = relationship(
        primaryjoin="Worker.id == foreign(Log.worker_id)", order_by="Log.id", viewonly=True
    )

    __table_args__ = (
        CheckConstraint(
            "lease_seconds > 0 AND lease_seconds <= 31536000", name="pgq_worker_lease_seconds_check"
        ),
    )


class Queue(Base):
    """What is said of a queue at run time; one without a row is not paused and has no limits of its own.

    A change tells running workers at the commit. `pgq_orm.queues.Queue` is what an application declares in code.
    """

    __tablename__ = "pgq_queue"
    _shown = ("name", "paused", "resume_at")

    id: Mapped[Id]
    created: Mapped[Created]
    updated: Mapped[Updated]
    name: Mapped[str]
    concurrency: Mapped[int | None]
    rate_limit: Mapped[int | None]
    rate_limit_window: Mapped[timedelta] = mapped_column(server_default=text("'1 second'"))
    paused: Mapped[bool] = mapped_column(server_default=false())
    resume_at: Mapped[datetime | None]
    """When the pause ends by itself: once it lies in the past the queue is not paused, whatever `paused` says."""

    __table_args__ = (
        UniqueConstraint("name", name="pgq_queue_name_key"),
        CheckConstraint("name <> ''", name="pgq_queue_name_check"),
        CheckConstraint("concurrency > 0", name="pgq_queue_concurrency_check"),
        CheckConstraint("rate_limit > 0", name="pgq_queue_rate_limit_check"),
        CheckConstraint("rate_limit_window > '0'", name="pgq_queue_rate_limit_window_check"),
        CheckConstraint("paused OR resume_at IS NULL", name="pgq_queue_resume_at_check"),
        CheckConstraint(within_years("resume_at"), name="pgq_queue_resume_at_years_check"),
    )


class Bucket(Base):
    """What is left of a rate limit: a bucket of tokens that has filled since it was empty."""

    __tablename__ = "pgq_bucket"
    _shown = ("name", "empty_at")

    name: Mapped[str] = mapped_column(primary_key=True)
    empty_at: Mapped[datetime]


class Dependency(Base):
    """An edge of a workflow: `job` waits for `parent`, from when the edge is added."""

    __tablename__ = "pgq_dependency"
    _shown = ("job_id", "depends_on", "on_failure")

    job_id: Mapped[BigInt] = mapped_column(primary_key=True)
    depends_on: Mapped[BigInt] = mapped_column(primary_key=True)
    on_failure: Mapped[OnFailure] = mapped_column(Text, server_default="cancel")

    __table_args__ = (
        CheckConstraint(
            one_of("on_failure", ("cancel", "ignore", "wait")), name="pgq_dependency_on_failure_check"
        ),
        CheckConstraint("depends_on <> job_id", name="pgq_dependency_depends_on_check"),
        Index("pgq_dependency_parent", "depends_on"),
    )

    job: Mapped["Job | None"] = relationship(
        primaryjoin="foreign(Dependency.job_id) == Job.id", viewonly=True
    )
    parent: Mapped["Job | None"] = relationship(
        primaryjoin="foreign(Dependency.depends_on) == Job.id", viewonly=True
    )


class Version(Base):
    """The version of the installed schema: one row."""

    __tablename__ = "pgq_version"
    _shown = ("version",)

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
