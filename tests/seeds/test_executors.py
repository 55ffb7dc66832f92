"""The executor snippets of PgQueuer's documents run, with nothing changed but imports and connection lines."""

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm import PgQueuer
from pgq_orm.executors import AbstractEntrypointExecutor, RetryWithBackoffEntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import sqlalchemy_url

pytestmark = pytest.mark.filterwarnings("error")


# Custom Executors


class NotificationExecutor(AbstractEntrypointExecutor):
    async def execute(self, job: Job, context: Context) -> None:
        type_, message = job.payload.decode().split("|")
        if type_ == "email":
            await self.send_email(message)
        elif type_ == "sms":
            await self.send_sms(message)

    async def send_email(self, message: str) -> None:
        print(f"Sending Email: {message}")

    async def send_sms(self, message: str) -> None:
        print(f"Sending SMS: {message}")


# PgQueuer: Unified Job and Schedule Orchestrator, which calls the payload `data` and has no annotations


class UnifiedNotificationExecutor(AbstractEntrypointExecutor):
    async def execute(self, job: Job, context):
        # Parse job data to determine notification type and message
        type, message = job.data.decode().split('|')  # fmt: skip
        if type == 'email':  # fmt: skip
            await self.send_email(message)
        elif type == 'sms':  # fmt: skip
            await self.send_sms(message)

    async def send_email(self, message: str):
        print(f"Sending Email: {message}")

    async def send_sms(self, message: str):
        print(f"Sending SMS: {message}")


async def create_pgqueuer() -> PgQueuer:
    connection = create_async_engine(os.environ["DATABASE_URL"])
    pgq = PgQueuer(connection)

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


@pytest.fixture
def enqueue(engine: Engine) -> Callable[[str, bytes], None]:
    def enqueue(entrypoint: str, payload: bytes) -> None:
        with Session(engine) as session, session.begin():
            SyncQueries(session).enqueue(entrypoint, payload)

    return enqueue


@pytest.mark.parametrize("executor", [NotificationExecutor, UnifiedNotificationExecutor])
async def test_a_notification_executor_sends_what_its_handler_does_not(
    async_engine: AsyncEngine,
    enqueue: Callable[[str, bytes], None],
    capsys: pytest.CaptureFixture[str],
    executor: type[AbstractEntrypointExecutor],
) -> None:
    pgq = PgQueuer(async_engine)

    @pgq.entrypoint("user_notification", executor_factory=executor)
    async def notification_task(job: Job) -> None:
        pass

    enqueue("user_notification", b"email|Your order is on its way")
    enqueue("user_notification", b"sms|Ring the bell")
    await pgq.run(mode=QueueExecutionMode.drain)

    assert sorted(capsys.readouterr().out.splitlines()) == [
        "Sending Email: Your order is on its way",
        "Sending SMS: Ring the bell",
    ]


async def test_the_factory_with_backoff_processes_its_job(
    dsn: str,
    enqueue: Callable[[str, bytes], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn, "asyncpg"))
    enqueue("retry_with_backoff", b"payload")
    factory: Callable[[], Awaitable[PgQueuer]] = create_pgqueuer

    await (await factory()).run(mode=QueueExecutionMode.drain)

    assert "Processing job: Job(id=1, " in capsys.readouterr().out
