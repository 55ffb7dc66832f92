"""The snippets of PgQueuer's introduction run, with nothing changed but imports and connection lines.

They are quoted as they stand. What they leave open (`perform_task`, `qm`, a session to enqueue on) is given to them.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from pgq_orm import PgQueuer
from pgq_orm.models import Job, Schedule
from pgq_orm.sqlalchemy import Queries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.conformance.bindings import STORES
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually, eventually
from tests.seeds.snippets import replaced, run
from tests.worker.queues import Queue
from tests.worker.workers import running

drain = QueueExecutionMode.drain

GETTING_STARTED = """
from datetime import datetime
import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job, Schedule

async def main() -> PgQueuer:
    # Establish database connection
    connection = await asyncpg.connect()
    driver = AsyncpgDriver(connection)

    # Initialize PgQueuer instance
    pgq = PgQueuer(driver)

    # Define a job entrypoint
    @pgq.entrypoint("fetch")
    async def process_message(job: Job) -> None:
        print(f"Processed message: {job!r}")

    # Define a scheduled task
    @pgq.schedule("scheduled_every_minute", "* * * * *")
    async def scheduled_every_minute(schedule: Schedule) -> None:
        print(f"Executed every minute: {schedule!r}, {datetime.now()!r}")

    return pgq
"""

CREATE_PGQUEUER = """
import asyncpg
from datetime import timedelta
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.executors import RetryWithBackoffEntrypointExecutor
from pgqueuer.models import Job

async def create_pgqueuer() -> PgQueuer:
    connection = await asyncpg.connect()
    driver = AsyncpgDriver(connection)
    pgq = PgQueuer(driver)

    @pgq.entrypoint(
        "retry_with_backoff",
        executor_factory=lambda parameters: RetryWithBackoffEntrypointExecutor(
            parameters=parameters,
            max_attempts=5,
            max_delay=timedelta(seconds=0.5),
            max_time=timedelta(seconds=1),
        ),
    )
    async def retry_with_backoff(job: Job) -> None:
        print(f"Processing job: {job!r}")

    return pgq
"""

EXECUTE_AFTER = """
from datetime import timedelta
await Queries(driver).enqueue(
    "my_task", payload=None, priority=0, execute_after=timedelta(minutes=1)
)
"""

ENQUEUEING_JOBS = """
from pgqueuer.queries import Queries
queries = Queries(db_driver)
job_ids = await queries.enqueue("task_entrypoint", b"Job data", priority=5)
"""

CANCELLING_JOBS = """
await queries.mark_job_as_cancelled(job_ids)
"""

ASYNCHRONOUS_JOB_PROCESSING = """
@entrypoint("task_entrypoint")
async def process_job(job: Job):
    with qm.get_context(job.id).cancellation:
        await perform_task(job.data)
"""

SYNCHRONOUS_JOB_PROCESSING = """
@entrypoint("sync_entrypoint")
def process_job(job: Job):
    cancel_scope = qm.get_context(job.id).cancellation
    for step in job_steps:
        if cancel_scope.cancel_called:
            return
        perform_task(step)
"""

SCHEDULER = """
@pgq.schedule("fetch_db", "* * * * *")
async def fetch_db(schedule: Schedule):
    await perform_task()
"""

RATE_LIMITING = """
@entrypoint("data_processing", requests_per_second=10)
def process_data(job: Job):
    pass
"""

CONCURRENCY_LIMITING = """
@entrypoint("data_processing", concurrency_limit=4)
async def process_data(job: Job):
    pass
"""

SERIALIZED_DISPATCH = """
@entrypoint("shared_resource", serialized_dispatch=True)
async def process_shared_resource(job):
    pass
"""

IMPORTS = {
    "import asyncpg": "import os",
    "from pgqueuer import PgQueuer": "from pgq_orm import PgQueuer",
    "from pgqueuer.db import AsyncpgDriver": "from sqlalchemy.ext.asyncio import create_async_engine",
}
CONNECTION = {
    "    connection = await asyncpg.connect()": "    connection = create_async_engine(os.environ['DATABASE_URL'])",
    "    driver = AsyncpgDriver(connection)": "    driver = connection",
}


@pytest.fixture
def queue(dsn: str) -> Any:
    queue = Queue(dsn)
    yield queue
    queue.close()


@pytest.fixture(params=list(STORES.values()), ids=list(STORES))
async def pgq(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[PgQueuer]:
    """An application on each kind of store in turn: those of SQLAlchemy, and Django's."""
    store = request.param(dsn)
    yield PgQueuer(store)
    await store.close()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_getting_started(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], driver: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn, driver))
    models = {"from pgqueuer.models import Job, Schedule": "from pgq_orm.models import Job, Schedule"}
    names: dict[str, Any] = {}
    await run(GETTING_STARTED, names, IMPORTS | CONNECTION | models)
    pgq: PgQueuer = await names["main"]()

    queue.enqueue("fetch", b"hello")
    async with running(pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule"))
        await pgq.queries.run_schedule_now("scheduled_every_minute")
        # and once more if a minute ends meanwhile
        await aeventually(
            lambda: {entry.entrypoint for entry in queue.log()} == {"fetch", "scheduled_every_minute"}
        )
    assert set(queue.statuses()) == {"successful"}
    assert isinstance(pgq.connection, AsyncEngine)
    await pgq.connection.dispose()
    output = capsys.readouterr().out
    assert "Processed message: Job(id=1, " in output
    assert "Executed every minute: Schedule(id=1, entrypoint='scheduled_every_minute'" in output
    assert "datetime.datetime(" in output


def test_starting_with_the_command(dsn: str, queue: Queue, tmp_path: Path) -> None:
    snippet = replaced(
        CREATE_PGQUEUER,
        IMPORTS
        | CONNECTION
        | {
            "from pgqueuer.executors import RetryWithBackoffEntrypointExecutor": (
                "from pgq_orm.executors import RetryWithBackoffEntrypointExecutor"
            ),
            "from pgqueuer.models import Job": "from pgq_orm.models import Job",
        },
    )
    (tmp_path / "mypackage.py").write_text(snippet, encoding="utf-8")
    queue.enqueue("retry_with_backoff", b"payload")
    worker = subprocess.Popen(
        [sys.executable, "-m", "pgq_orm", "run", "mypackage.create_pgqueuer"],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": sqlalchemy_url(dsn, "asyncpg"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: queue.statuses() == ["successful"], timeout=30)
        worker.send_signal(signal.SIGTERM)
        output, _ = worker.communicate(timeout=60)
    finally:
        worker.kill()
    assert worker.returncode == 0
    assert "Processing job: Job(id=1, " in output


async def test_execute_after(async_engine: AsyncEngine, queue: Queue) -> None:
    async with AsyncSession(async_engine) as session, session.begin():
        await run(EXECUTE_AFTER, {"Queries": Queries, "driver": session})
    [job] = queue.jobs()
    assert (job.entrypoint, job.payload, job.priority) == ("my_task", None, 0)
    assert job.execute_after - job.created == timedelta(minutes=1)

    pgq = PgQueuer(async_engine)
    pgq.entrypoint("my_task")(lambda job: None)
    await pgq.run(mode=drain)
    assert queue.log() == []


async def test_execute_after_through_the_applications_own_queries(
    async_engine: AsyncEngine, queue: Queue
) -> None:
    await run(EXECUTE_AFTER, {"Queries": lambda driver: driver, "driver": PgQueuer(async_engine).queries})
    [job] = queue.jobs()
    assert job.execute_after - job.created == timedelta(minutes=1)


async def test_enqueueing_and_cancelling_jobs(async_engine: AsyncEngine, queue: Queue) -> None:
    async with AsyncSession(async_engine) as session:
        names: dict[str, Any] = {"db_driver": session}
        await run(
            ENQUEUEING_JOBS,
            names,
            {"from pgqueuer.queries import Queries": "from pgq_orm.sqlalchemy import Queries"},
        )
        await session.commit()
        [job] = queue.jobs()
        assert (job.id, job.payload, job.priority) == (names["job_ids"][0], b"Job data", 5)

        await run(CANCELLING_JOBS, names)
        await session.commit()
    assert queue.statuses() == ["canceled"]


async def test_asynchronous_job_processing(pgq: PgQueuer, queue: Queue) -> None:
    given: list[bytes | None] = []
    ends: list[str] = []

    async def perform_task(data: bytes | None) -> None:
        given.append(data)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("interrupted")
            raise

    await run(
        ASYNCHRONOUS_JOB_PROCESSING,
        {"entrypoint": pgq.entrypoint, "qm": pgq.qm, "Job": Job, "perform_task": perform_task},
    )
    [job_id] = queue.enqueue("task_entrypoint", b"Job data")
    async with running(pgq):
        await aeventually(lambda: given)
        assert queue.cancel(job_id) == {job_id: True}
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])
    assert (given, ends) == ([b"Job data"], ["interrupted"])


async def test_synchronous_job_processing(pgq: PgQueuer, queue: Queue) -> None:
    goes_on = threading.Event()
    performed: list[int] = []

    def perform_task(step: int) -> None:
        performed.append(step)
        if step == 2:
            goes_on.wait(60)

    names = {
        "entrypoint": pgq.entrypoint,
        "qm": pgq.qm,
        "Job": Job,
        "perform_task": perform_task,
        "job_steps": range(1, 100),
    }
    await run(SYNCHRONOUS_JOB_PROCESSING, names)
    [job_id] = queue.enqueue("sync_entrypoint")
    async with running(pgq):
        await aeventually(lambda: performed == [1, 2])
        context = pgq.qm.get_context(job_id)
        assert queue.cancel(job_id) == {job_id: True}
        await aeventually(lambda: context.cancellation.cancel_called)
        goes_on.set()
        await aeventually(lambda: queue.statuses(job_id) == ["canceled"])
    assert performed == [1, 2]


async def test_scheduler(pgq: PgQueuer, queue: Queue) -> None:
    performed: list[datetime] = []

    async def perform_task() -> None:
        performed.append(datetime.now())  # noqa: DTZ005

    await run(SCHEDULER, {"pgq": pgq, "Schedule": Schedule, "perform_task": perform_task})
    async with running(pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule"))
        queue.execute("UPDATE pgq_schedule SET next_run = date_trunc('minute', now())")
        pgq.shutdown.set()
    pgq.shutdown.clear()
    async with running(pgq):
        await aeventually(lambda: performed)
        # more than one if a minute ends meanwhile
        await aeventually(lambda: set(queue.statuses()) == {"successful"})


@pytest.mark.parametrize(
    "snippet",
    [RATE_LIMITING, CONCURRENCY_LIMITING, SERIALIZED_DISPATCH],
    ids=["rate limiting", "concurrency limiting", "serialized dispatch"],
)
async def test_throttling_and_concurrency_control(pgq: PgQueuer, queue: Queue, snippet: str) -> None:
    """That the limits hold is for tests/worker/test_limits.py to say."""
    await run(snippet, {"entrypoint": pgq.entrypoint, "Job": Job})
    [name] = pgq.registry.entrypoints
    queue.enqueue([name] * 6)  # type: ignore[arg-type]
    await pgq.run(mode=drain)
    assert queue.statuses() == ["successful"] * 6
