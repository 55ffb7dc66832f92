"""Programs: what the worker processes of these tests run; `pgq run tests.worker.programs:working`."""

import asyncio
import os
import signal
import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.processes import health, helm
from pgq_orm.processes import worker as process
from pgq_orm.worker import runner

runner.INTERRUPTION_SECONDS = 0.3
process.LEAVE_SECONDS = 0.3
helm.DEAF_SECONDS = 0.5
health.BLOCKED_SECONDS = 1.0


def begin(job: Job) -> None:
    """Says so, to a test that must not go on before this job's handler runs; that it was picked means less."""
    print(f"begins job {job.id}.", flush=True)


def idle() -> PgQueuer:
    """An application that forgot to register anything."""
    return PgQueuer(create_async_engine(os.environ["QUEUE_URL"]))


def working() -> PgQueuer:
    """An application with a handler for everything that can happen to a process."""
    pgq = idle()

    @pgq.entrypoint("record")
    async def record(job: Job, session: AsyncSession) -> None:
        await session.execute(
            text("INSERT INTO ran (job_id, pid) VALUES (:job_id, :pid)"),
            {"job_id": job.id, "pid": os.getpid()},
        )

    @pgq.entrypoint("loop")
    async def loop(job: Job) -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    @pgq.entrypoint("sleep")
    async def sleep(job: Job) -> None:
        begin(job)
        await asyncio.sleep(float(job.payload or 0))

    @pgq.entrypoint("blocks the loop")
    async def block(job: Job) -> None:
        begin(job)
        time.sleep(3600)  # noqa: ASYNC251

    @pgq.entrypoint("stuck in a thread")
    def stuck(job: Job) -> None:
        begin(job)
        time.sleep(3600)

    @pgq.entrypoint("stuck in a thread of its own")
    async def stuck_elsewhere(job: Job) -> None:
        await asyncio.to_thread(stuck, job)

    @pgq.entrypoint("deaf to cancellation")
    async def stubborn(job: Job) -> None:
        begin(job)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    @pgq.entrypoint("fork")
    def fork(job: Job) -> None:
        """Leaves a process behind that holds all that this one has open, and dies."""
        if os.fork() == 0:
            time.sleep(3600)
        os.kill(os.getpid(), signal.SIGKILL)

    @pgq.entrypoint('fail "\\\n')
    def fail(job: Job) -> None:
        """Has a name that has to be escaped wherever it is quoted."""
        raise ValueError

    @pgq.entrypoint("kill")
    def kill(job: Job) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return pgq


def limited() -> PgQueuer:
    """An application whose handlers note when they ran, and may not run as they like."""
    engine = create_async_engine(os.environ["QUEUE_URL"])
    pgq = PgQueuer(engine)

    async def note(job: Job) -> None:
        seconds = float(job.payload or 0)
        async with engine.connect() as connection:
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            values = {"job_id": job.id, "key": job.concurrency_key, "pid": os.getpid(), "picked": job.updated}
            await connection.execute(
                text(
                    "INSERT INTO span (job_id, key, pid, picked, started) "
                    "VALUES (:job_id, :key, :pid, :picked, clock_timestamp())"
                ),
                values,
            )
            await asyncio.sleep(seconds)
            await connection.execute(
                text("UPDATE span SET ended = clock_timestamp() WHERE job_id = :job_id AND pid = :pid"),
                values,
            )

    def note_in_a_thread(job: Job) -> None:
        asyncio.run(note(job))

    pgq.entrypoint("four", concurrency_limit=4)(note)
    pgq.entrypoint("one", serialized_dispatch=True)(note)
    pgq.entrypoint("one in a thread", serialized_dispatch=True)(note_in_a_thread)
    pgq.entrypoint("ten a second", requests_per_second=10)(note)
    pgq.entrypoint("one of a key", concurrency_limit_per_key=1, concurrency_limit=5)(note)
    pgq.entrypoint("any")(note)
    return pgq
