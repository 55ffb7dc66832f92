"""Jobs: as a worker gives them to an executor, and as the database has them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pgq_orm import sqlalchemy as mapped
from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.sqlalchemy import Log, SyncQueries
from pgq_orm.statuses import JobStatus
from pgq_orm.worker.settings import QueueExecutionMode

DRAIN = QueueExecutionMode.drain
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def picked_job(
    payload: bytes | None = None,
    arguments: dict[str, Any] | None = None,
    *,
    attempts: int = 0,
    max_attempts: int | None = None,
) -> Job:
    return Job(
        id=1,
        lease=1,
        created=NOON,
        updated=NOON,
        execute_after=NOON,
        priority=0,
        attempts=attempts,
        status=JobStatus.PICKED,
        queue="default",
        entrypoint="entrypoint",
        payload=payload,
        arguments=arguments or {},
        max_attempts=max_attempts,
    )


class Runs:
    """An executor, run on jobs as a worker does it."""

    def __init__(self, executor: AbstractEntrypointExecutor) -> None:
        self.executor = executor

    async def __call__(self, job: Job | None = None) -> Any:
        job = job or picked_job()
        return await self.executor.execute(job, Context(job))


class Queue:
    """A queue, as the application and its administrator see it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def enqueue(self, entrypoint: str, payload: bytes | None = None, **options: Any) -> int:
        with Session(self.engine) as session, session.begin():
            (job_id,) = SyncQueries(session).enqueue(entrypoint, payload, **options)
        return job_id

    def cancel(self, job_id: int) -> None:
        with Session(self.engine) as session, session.begin():
            SyncQueries(session).mark_job_as_cancelled([job_id])

    def jobs(self) -> Sequence[mapped.Job]:
        with Session(self.engine) as session:
            return session.scalars(select(mapped.Job).order_by(mapped.Job.id)).all()

    def log(self, job_id: int | None = None) -> Sequence[Log]:
        with Session(self.engine) as session:
            wanted = select(Log).order_by(Log.id)
            return session.scalars(wanted if job_id is None else wanted.filter_by(job_id=job_id)).all()
