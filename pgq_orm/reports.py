"""Reports: what the queue answers when it is asked about itself, as frozen values."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypeAlias
from uuid import UUID

from pgq_orm.errors import JobFailedError
from pgq_orm.statuses import JobStatus, LogStatus, OnFailure

JsonValue: TypeAlias = Any
"""What `json.loads` gives."""
JobIdStatus: TypeAlias = tuple[int, JobStatus | LogStatus]
"""A job's id, and the word for where it is in its life or how it ended."""


class Completion(str):
    """How a job ended: the status word itself, as PgQueuer answers it, that also carries what came of the job."""

    __slots__ = ("_result", "error", "job_id")

    job_id: int
    error: str | None
    """What the handler raised, in one line."""
    _result: str | None

    def __new__(cls, job_id: int, status: LogStatus, result: str | None, error: str | None) -> "Completion":
        completion = super().__new__(cls, status.value)
        completion.job_id = job_id
        completion.error = error
        completion._result = result
        return completion

    @property
    def status(self) -> LogStatus:
        """The word as an enum's member."""
        return LogStatus(str(self))

    @property
    def result(self) -> JsonValue:
        """What the handler returned. Raises JobFailedError if the job did not succeed."""
        if (status := self.status) is not LogStatus.SUCCESSFUL:
            raise JobFailedError(self.job_id, status, self.error)
        return None if self._result is None else json.loads(self._result)


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """How many jobs that are still to be done share these four."""

    count: int
    queue: str
    entrypoint: str
    priority: int
    status: JobStatus


@dataclass(frozen=True, slots=True)
class QueueAgeStats:
    """How long the jobs of an entrypoint have been waiting that could run now."""

    queue: str
    entrypoint: str
    queued_count: int
    oldest_created: datetime
    oldest_age_seconds: float
    """Since it was due: what was deferred is not late before its time."""
    avg_age_seconds: float


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """How many attempts ended alike in one second."""

    count: int
    created: datetime
    """The second."""
    queue: str
    entrypoint: str
    priority: int
    status: LogStatus
    retried: bool
    """Whether the jobs were queued again."""


@dataclass(frozen=True, slots=True)
class ActiveWorker:
    """A worker process that lives."""

    id: UUID
    hostname: str
    pid: int
    queues: tuple[str, ...]
    entrypoints: tuple[str, ...]
    started: datetime
    heartbeat: datetime
    active_jobs: int


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that ended as `exception`, with all that is needed to run it again."""

    log_id: int
    """Where it stands in the list: pass the last one's as `after` for the jobs that follow."""
    id: int
    failed: datetime
    created: datetime
    priority: int
    attempts: int
    """How many were made, this one included."""
    queue: str
    entrypoint: str
    error: str | None
    traceback: str | None
    payload: bytes | None
    arguments: Mapping[str, Any] | None
    """These, and headers, raise InvalidJobError when looked at if they are JSON that Python cannot read."""
    headers: Mapping[str, Any] | None
    dedupe_key: str | None
    schedule_id: int | None
    workflow_id: UUID | None


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """A schedule as it stands in the database."""

    id: int
    entrypoint: str
    expression: str
    timezone: str
    catch_up: Literal["latest", "all", "none"]
    queue: str
    priority: int
    paused: bool
    next_run: datetime
    last_run: datetime | None


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as it stands in the database."""

    name: str
    concurrency: int | None
    """How many of its jobs run at a time in each worker process."""
    rate_limit: int | None
    """How many of its jobs may start within the window, in all worker processes together."""
    rate_limit_window: timedelta
    paused: bool
    """Whether it is, by the database's clock."""
    resume_at: datetime | None
    """When the pause ends by itself."""
    clock: datetime
    """The database's, when this was read."""


@dataclass(frozen=True, slots=True)
class WorkflowJob:
    """A job of a workflow, as it stands."""

    id: int
    name: str | None
    """What it is called in the workflow; None if it was added without a name."""
    entrypoint: str
    queue: str
    status: JobStatus | LogStatus
    error: str | None
    """What its handler raised, or which parent it was canceled for, in one line."""
    depends_on: Mapping[int, OnFailure]
    """The ids of its parents, and what becomes of it if they fail."""


class WorkflowState(StrEnum):
    """Where a workflow as a whole is in its life."""

    RUNNING = "running"
    """Some of its jobs run, or will when a worker picks them or their time has come."""
    STALLED = "stalled"
    """All that is left to be done waits for jobs that failed: for `retry_workflow`, or to be cancelled."""
    SUCCESSFUL = "successful"
    """Every job has succeeded."""
    FAILED = "failed"
    """All have ended, some of them without success."""


@dataclass(frozen=True, slots=True)
class WorkflowProgress:
    """How many jobs of a workflow have which status."""

    workflow_id: UUID
    counts: Mapping[JobStatus | LogStatus, int]

    @property
    def state(self) -> WorkflowState:
        """Where it is in its life."""
        if self._count(JobStatus.QUEUED, JobStatus.PICKED):
            return WorkflowState.RUNNING
        if self._count(JobStatus.WAITING):
            return WorkflowState.STALLED
        if self._count(LogStatus.EXCEPTION, LogStatus.CANCELED):
            return WorkflowState.FAILED
        return WorkflowState.SUCCESSFUL

    def _count(self, *statuses: JobStatus | LogStatus) -> int:
        return sum(self.counts.get(status, 0) for status in statuses)


@dataclass(frozen=True, slots=True)
class WorkflowStatus:
    """A workflow as it stands: its jobs, in the order of their ids, with the edges between them."""

    workflow_id: UUID
    jobs: tuple[WorkflowJob, ...]

    @property
    def counts(self) -> Mapping[JobStatus | LogStatus, int]:
        """How many jobs have which status."""
        return Counter(job.status for job in self.jobs)

    @property
    def state(self) -> WorkflowState:
        """Where it is in its life."""
        return WorkflowProgress(self.workflow_id, self.counts).state

    def __getitem__(self, key: int | str) -> WorkflowJob:
        """The job of that name or id. Raises KeyError."""
        for job in self.jobs:
            if key in (job.id, job.name):
                return job
        raise KeyError(key)
