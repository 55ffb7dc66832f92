"""The snippets of PgQueuer's "Advanced Features" run: a schedule, retries by hand, and a manager of workflows.

They are written as in the document, with nothing changed but imports and connection lines, the handlers in a function
that is given the application. What the snippets leave open (a report, an API) is given to them.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from pgq_orm import PgQueuer
from pgq_orm.autocommit import AutocommitQueries
from pgq_orm.models import Job, Schedule
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm.workflows import Workflow
from tests.worker.queues import Queue

drain = QueueExecutionMode.drain

queries: AutocommitQueries
calls: list[str] = []


@pytest.fixture
async def pgq(async_engine: AsyncEngine) -> AsyncIterator[PgQueuer]:
    global queries
    pgq = PgQueuer(async_engine)
    queries = pgq.queries
    calls.clear()
    yield pgq
    await pgq.store.close()


@pytest.fixture
def queue(dsn: str) -> Any:
    queue = Queue(dsn)
    yield queue
    queue.close()


# Scheduled Jobs


async def generate_analytics_report(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    return start, end


async def save_report(report: tuple[datetime, datetime]) -> None:
    calls.append(f"a report on {report[1] - report[0]}")


def declare_schedule(pgq: PgQueuer) -> None:
    @pgq.schedule("hourly_report", "0 * * * *")  # Every hour
    async def generate_hourly_report(schedule: Schedule) -> None:
        """Generate hourly analytics report."""
        from datetime import datetime, timedelta

        now = datetime.now()  # noqa: DTZ005
        hour_ago = now - timedelta(hours=1)

        print(f"📊 Generating report for {hour_ago} to {now}")

        # Your report generation logic
        report_data = await generate_analytics_report(hour_ago, now)
        await save_report(report_data)

        print("✅ Hourly report generated")


async def test_a_report_is_generated_every_hour(
    pgq: PgQueuer, queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    declare_schedule(pgq)
    await pgq.run(mode=drain)  # a worker has been by, and has added the schedule
    await pgq.queries.run_schedule_now("hourly_report")
    await pgq.run(mode=drain)
    assert calls == ["a report on 1:00:00"]
    assert capsys.readouterr().out.endswith("✅ Hourly report generated\n")
    (ahead,) = queue.scalars("SELECT next_run - now() <= interval '1 hour' FROM pgq_schedule")
    assert ahead


# Custom Job Retry Logic


class RetryableJobHandler:
    """Base class for jobs with custom retry logic."""

    def __init__(self, max_retries: int = 3, base_delay: float = 1.0):
        self.max_retries = max_retries
        self.base_delay = base_delay

    async def exponential_backoff(self, attempt: int) -> float:
        """Calculate exponential backoff delay."""
        delay = self.base_delay * (2**attempt)
        return delay  # noqa: RET504

    async def should_retry(self, exception: Exception, attempt: int) -> bool:
        """Determine if job should be retried based on exception type."""
        if attempt >= self.max_retries:  # noqa: SIM103
            return False
        return True


async def make_external_api_call(url: str) -> str:
    calls.append(url)
    if len(calls) < 3:
        raise ConnectionError("the line is busy")
    return "pong"


def declare_api_call(pgq: PgQueuer) -> None:
    @pgq.entrypoint("resilient_api_call")
    async def resilient_api_call(job: Job) -> None:
        """Job handler with built-in retry logic."""
        handler = RetryableJobHandler(max_retries=5)

        payload = json.loads(job.payload.decode())
        attempt = payload.get("attempt", 0)

        try:
            # Simulate API call
            print(f"🌐 Making API call (attempt {attempt + 1})")
            result = await make_external_api_call(payload["url"])
            print(f"✅ API call successful: {result}")

        except Exception as e:
            print(f"❌ API call failed (attempt {attempt + 1}): {e}")

            if await handler.should_retry(e, attempt):
                delay = await handler.exponential_backoff(attempt)
                await asyncio.sleep(delay)
                retry_payload = payload.copy()
                retry_payload["attempt"] = attempt + 1
                await queries.enqueue(
                    ["resilient_api_call"], [json.dumps(retry_payload).encode()], [job.priority]
                )
            else:
                print("❌ Max retries reached or non-retryable error")
                raise


async def test_an_api_is_called_until_it_answers(
    pgq: PgQueuer, queue: Queue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def backoff(self: RetryableJobHandler, attempt: int) -> float:
        return 0.001 * 2**attempt  # the document's takes three seconds for this

    monkeypatch.setattr(RetryableJobHandler, "exponential_backoff", backoff)
    declare_api_call(pgq)
    await queries.enqueue("resilient_api_call", json.dumps({"url": "/ping"}).encode())
    await pgq.run(mode=drain)
    assert calls == ["/ping"] * 3
    assert capsys.readouterr().out.endswith("✅ API call successful: pong\n")
    assert queue.statuses() == ["successful"] * 3


# Job Dependencies and Workflows

JOBS: list[dict[str, Any]] = [
    # in no order, as the document's manager takes them
    {"id": "load", "entrypoint": "load", "payload": {}, "depends_on": {"transform"}},
    {
        "id": "transform",
        "entrypoint": "transform",
        "payload": {"n": 1},
        "depends_on": {"extract"},
        "priority": 5,
    },
    {"id": "extract", "entrypoint": "extract", "payload": {}, "depends_on": set()},
]


class WorkflowManager:
    """Manage job workflows and dependencies, as the document does: in the memory of one process."""

    def __init__(self):
        self.workflows = {}

    def create_workflow(self, workflow_id: str, jobs: list[dict]) -> None:
        """Create a workflow with job dependencies."""
        self.workflows[workflow_id] = {"jobs": jobs, "completed_jobs": set(), "failed_jobs": set()}

    async def start_workflow(self, workflow_id: str) -> None:
        """Start executing a workflow."""
        workflow = self.workflows[workflow_id]  # noqa: F841
        ready_jobs = self.get_ready_jobs(workflow_id)

        for job_id in ready_jobs:
            await self.execute_job(workflow_id, job_id)

    def get_ready_jobs(self, workflow_id: str) -> list[str]:
        """Get jobs that are ready to run (all dependencies completed)."""
        workflow = self.workflows[workflow_id]
        ready_jobs = []

        for job in workflow["jobs"]:
            job_id = job["id"]
            dependencies = job.get("depends_on", [])
            if dependencies.issubset(workflow["completed_jobs"]):
                ready_jobs.append(job_id)

        return ready_jobs

    async def execute_job(self, workflow_id: str, job_id: str) -> None:
        """Execute a single job in the workflow."""
        workflow = self.workflows[workflow_id]
        job_def = next(job for job in workflow["jobs"] if job["id"] == job_id)
        await queries.enqueue(
            [job_def["entrypoint"]], [json.dumps(job_def["payload"]).encode()], [job_def.get("priority", 0)]
        )


class DurableWorkflowManager:
    """The same in a few lines, in the database: it starts the jobs that follow, whoever is there when they may run."""

    def __init__(self) -> None:
        self.workflows: dict[str, UUID] = {}

    async def start_workflow(self, workflow_id: str, jobs: list[dict[str, Any]]) -> None:
        flow = Workflow()
        for job in jobs:
            payload = json.dumps(job["payload"]).encode()
            depends_on = job.get("depends_on", ())
            flow.add(
                job["entrypoint"], payload, job.get("priority", 0), name=job["id"], depends_on=depends_on
            )
        self.workflows[workflow_id] = (await queries.enqueue_workflow(flow)).id


def declare_steps(pgq: PgQueuer) -> None:
    async def step(job: Job) -> None:
        calls.append(f"{job.entrypoint} {job.payload.decode()}")

    for entrypoint in ("extract", "transform", "load"):
        pgq.entrypoint(entrypoint)(step)


async def test_the_documents_manager_starts_what_is_ready(pgq: PgQueuer) -> None:
    declare_steps(pgq)
    manager = WorkflowManager()
    manager.create_workflow("nightly", JOBS)
    await manager.start_workflow("nightly")
    await pgq.run(mode=drain)
    assert calls == ["extract {}"]


async def test_a_manager_of_a_few_lines_sees_to_all_of_it(pgq: PgQueuer) -> None:
    declare_steps(pgq)
    manager = DurableWorkflowManager()
    await manager.start_workflow("nightly", JOBS)
    await pgq.run(mode=drain)
    assert calls == ["extract {}", 'transform {"n": 1}', "load {}"]
    status = await queries.workflow_status(manager.workflows["nightly"])
    assert (status.state, status["transform"].status) == ("successful", "successful")
