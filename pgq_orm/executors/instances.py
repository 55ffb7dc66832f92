"""Instances: a job that runs, as Chancy's kind of executor is given it and gives it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from pgq_orm.functions import FunctionJob
from pgq_orm.models import Job


class JobState(StrEnum):
    """What an executor may say of a job, in Chancy's words."""

    PENDING = "pending"
    """It has not been run after all, and is given back uncounted."""
    RUNNING = "running"
    """It runs. Says nothing new."""
    RETRYING = "retrying"
    """The attempt failed; there is to be another, if attempts are left."""
    FAILED = "failed"
    """It failed for good."""
    SUCCEEDED = "succeeded"
    EXPIRED = "expired"
    """It is not to be run any more: canceled."""


@dataclass(frozen=True, kw_only=True)
class JobInstance(FunctionJob):
    """A job that runs. An executor tells what came of it by `dataclasses.replace(job, state=…)`.

    For a job of an entrypoint `func` is its handler's path and `kwargs` are the job's arguments.
    """

    State: ClassVar[type[JobState]] = JobState

    id: int
    lease: int
    """The right under which it runs here. What is said of the job under another one is refused."""
    entrypoint: str
    queue: str
    state: JobState = JobState.RUNNING
    attempts: int = 0
    """How many attempts ended badly before this one. The database counts them: a change made here is not stored."""
    max_attempts: int = 1
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    """As `attempts`: what is stored is the database's clock."""
    payload: bytes | None = None
    headers: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Nothing to check: what an executor says is checked where it says it."""


def instance_of(job: Job, func: str, kwargs: Mapping[str, Any], max_attempts: int | None) -> JobInstance:
    """The picked job, as an executor is given it."""
    return JobInstance(
        id=job.id,
        lease=job.lease,
        entrypoint=job.entrypoint,
        queue=job.queue,
        func=func,
        kwargs=kwargs,
        priority=job.priority,
        attempts=job.attempts,
        max_attempts=job.max_attempts or max_attempts or 1,
        unique_key=job.dedupe_key,
        scheduled_at=job.execute_after,
        created_at=job.created,
        started_at=job.updated,
        payload=job.payload,
        headers=job.headers,
    )
