"""Privileges: roles that own nothing do their work with the grants of docs/running.md, and with the usual ones."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Retry
from pgq_orm.queues import Queue as QueueSettings
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.workflows import chain
from pgq_orm_django.store import DatabaseStore
from tests.conformance.project import point
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import running, seconds

PAGE = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
[GRANTS] = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
USUAL_GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};
"""

MakeRole = Callable[[str], str]


@pytest.fixture
def make_role(queue: Queue) -> Iterator[MakeRole]:
    """Makes a role that may do what the grants, written for `{role}`, say; answers the URL to connect by as it."""
    url = make_url(sqlalchemy_url(queue.dsn))
    roles: list[str] = []

    def make(grants: str) -> str:
        role = f"pgq_test_{uuid4().hex[:16]}"
        queue.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{url.password or ''}'")
        roles.append(role)
        queue.execute(grants.format(role=role))
        return url.set(username=role).render_as_string(hide_password=False)

    yield make
    for role in roles:
        queue.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def of_the_page(role: str) -> str:
    """The page's grants to one of its roles."""
    grants = [statement for statement in GRANTS.split(";") if statement.strip().endswith(f" TO {role}")]
    assert len(grants) == 3
    return ";".join(statement.removesuffix(role) + "{role}" for statement in grants)


@pytest.mark.parametrize(
    "grants", [USUAL_GRANTS, "GRANT SELECT, INSERT ON pgq_job TO {role}"], ids=["usual", "least"]
)
def test_a_role_that_owns_nothing_enqueues(queue: Queue, make_role: MakeRole, grants: str) -> None:
    engine = create_engine(make_role(grants))
    with Session(engine) as session:
        [job_id] = SyncQueries(session).enqueue("mail", dedupe_key="one")
        session.commit()
    engine.dispose()
    assert queue.job(job_id).status == "queued"


def test_a_role_without_rights_is_told_so_and_enqueues_nothing(queue: Queue, make_role: MakeRole) -> None:
    engine = create_engine(make_role("GRANT SELECT ON pgq_job TO {role}"))
    with (
        Session(engine) as session,
        pytest.raises(ProgrammingError, match="permission denied for table pgq_job"),
    ):
        SyncQueries(session).enqueue("mail")
    engine.dispose()
    assert queue.jobs() == []


def test_the_pages_grants_do_for_all_that_an_application_asks(queue: Queue, make_role: MakeRole) -> None:
    queue.execute(
        "INSERT INTO pgq_schedule (entrypoint, expression, next_run) VALUES ('tick', '@daily', now())"
    )
    engine = create_engine(make_role(of_the_page("shop")))
    with Session(engine) as session, session.begin():
        queries = SyncQueries(session)
        [job_id] = queries.enqueue("mail", dedupe_key="one")
        queries.enqueue("mail", dedupe_key="one", on_conflict="update", priority=3)
        queries.enqueue("letter", depends_on=job_id)
        queries.mark_job_as_cancelled(job_id)
        [again] = queries.requeue_jobs(job_id).values()
        queries.enqueue_workflow(chain("extract", "load"))
        queries.declare_queue(QueueSettings("slow"))
        queries.pause_queue("slow")
        queries.resume_queue("slow")
        [schedule] = queries.fetch_schedules()
        queries.pause_schedule(schedule.id)
        queries.resume_schedule(schedule.id)
        queries.run_schedule_now(schedule.id)
        assert queries.active_workers() == []
        queries.queue_size(), queries.queue_age(), queries.log_statistics(), queries.list_failed_jobs()
        queries.delete_schedule(schedule.id)
        queries.clear_queue("load")
        queries.clear_queue_log("load")
    engine.dispose()
    assert queue.job(again).priority == 3


@asynccontextmanager
async def connected(url: URL, binding: str) -> AsyncIterator[Any]:
    """What a PgQueuer works on."""
    if binding == "django":
        yield DatabaseStore(point(url.set(drivername="postgresql").render_as_string(hide_password=False)))
        return
    engine = create_async_engine(url.set(drivername=f"postgresql+{binding}"))
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("binding", ["psycopg", "asyncpg", "django"])
@pytest.mark.parametrize("grants", [USUAL_GRANTS, of_the_page("shop_worker")], ids=["usual", "page"])
async def test_a_worker_that_owns_nothing_works(
    queue: Queue, make_role: MakeRole, grants: str, binding: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(make_url(make_role(grants)), binding) as connection:
        await _require_work(connection, queue)
    assert "permission denied" not in caplog.text
    assert queue.worker_ids() == []


async def _require_work(connection: Any, queue: Queue) -> None:
    """Lets a worker do all that workers do."""
    pgq = PgQueuer(connection, queues=[QueueSettings("default", rate_limit=1000)])
    attempts: list[int] = []
    ticks: list[Job] = []

    @pgq.entrypoint("extract", requests_per_second=1000)
    async def extract(job: Job) -> None:
        attempts.append(job.id)
        if len(attempts) == 1:
            raise Retry(seconds(0))

    @pgq.entrypoint("load", concurrency_limit=1)
    async def load(job: Job, context: Context) -> None:
        await context.parents()

    @pgq.schedule("tick", "* * * * * *")
    async def tick(context: Context) -> None:
        ticks.append(context.job)

    queue.execute(
        """
        INSERT INTO pgq_worker (id, heartbeat, lease_seconds, pid, hostname, queues, entrypoints)
        VALUES (gen_random_uuid(), now() - interval '1 hour', 1, 1, 'gone', '{}', '{}')
        """
    )
    [gone] = queue.worker_ids()
    [orphan] = queue.enqueue("load")
    queue.execute(
        "UPDATE pgq_job SET status = 'picked', lease = 1, worker_id = :gone WHERE id = :id",
        gone=gone,
        id=orphan,
    )
    [old] = queue.enqueue("load")
    queue.cancel(old)
    queue.execute("UPDATE pgq_log SET created = now() - interval '1 year'")
    with Session(queue.engine) as session, session.begin():
        workflow = SyncQueries(session).enqueue_workflow(chain("extract", "load"))

    async with running(pgq, log_retention=timedelta(days=1), heartbeat_timeout=seconds(2)):
        await aeventually(lambda: ticks)
        for job_id in (orphan, *workflow.job_ids):
            await aeventually(lambda: "successful" in queue.statuses(job_id))  # noqa: B023
        await aeventually(lambda: not queue.log(old))
