"""The mapped classes: ordinary ORM objects over the queue's tables."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, null, select, text, update
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from pgq_orm.errors import InvalidJobError
from pgq_orm.sqlalchemy import Dependency, Job, Log, Schedule, Worker
from pgq_orm.statuses import JobStatus, LogStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def a_worker(**columns: object) -> Worker:
    given = {
        "id": uuid4(),
        "lease_seconds": 30,
        "pid": 1,
        "hostname": "here",
        "queues": [],
        "entrypoints": [],
    }
    return Worker(**given | columns)


def a_log(**columns: object) -> Log:
    given = {
        "job_id": 1,
        "enqueued": NOON,
        "execute_after": NOON,
        "priority": 0,
        "attempt": 1,
        "status": LogStatus.SUCCESSFUL,
        "queue": "default",
        "entrypoint": "mail",
    }
    return Log(**given | columns)


def test_the_database_fills_in_all_that_a_new_job_leaves_open(session: Session) -> None:
    job = Job(entrypoint="mail")
    session.add(job)
    session.flush()
    clock = session.scalar(text("SELECT now()"))
    assert (job.created, job.updated, job.execute_after) == (clock, clock, clock)
    assert (job.id, job.lease, job.priority, job.attempts, job.queue) == (1, 0, 0, 0, "default")
    assert job.status is JobStatus.QUEUED
    assert (job.payload, job.arguments, job.headers, job.worker, job.schedule) == (None,) * 5


def test_json_travels_as_python_values(session: Session) -> None:
    arguments = {"to": ["a@example.com"], "retries": 3, "urgent": None}
    session.add_all([Job(entrypoint="mail", arguments=arguments), a_log(result=[1, {"two": 2}])])
    session.commit()
    assert session.scalars(select(Job.arguments)).one() == arguments
    assert session.scalars(select(Log.result)).one() == [1, {"two": 2}]


def test_none_is_stored_as_null_and_never_as_a_json_value(session: Session) -> None:
    session.add_all([Job(entrypoint="mail", arguments=None, headers=None), a_log(result=None)])
    session.flush()
    session.execute(update(Job).values(arguments=None))
    assert session.scalars(select(Job).where(Job.arguments.is_(null()), Job.headers.is_(null()))).all()
    assert session.scalars(select(Log).where(Log.result.is_(null()))).all()


def test_a_status_is_a_word_in_python_and_text_in_sql(session: Session) -> None:
    session.add_all([Job(entrypoint="mail"), Job(entrypoint="mail", status="waiting")])
    session.flush()
    assert session.scalars(select(Job.status).order_by(Job.id)).all() == [JobStatus.QUEUED, JobStatus.WAITING]
    assert session.scalars(select(Job).where(Job.status == "queued")).one().id == 1
    assert session.scalars(select(Job).where(Job.status.in_([JobStatus.WAITING]))).one().id == 2


def test_a_word_that_is_no_status_is_refused_before_it_is_sent(session: Session) -> None:
    with pytest.raises(StatementError, match="'qeued' is not a valid JobStatus"):
        session.scalars(select(Job).where(Job.status == "qeued"))


def test_changing_a_job_changes_when_it_was_updated(session: Session) -> None:
    job = Job(entrypoint="mail")
    session.add(job)
    session.commit()
    updated = job.updated
    job.priority = 7
    session.commit()
    assert job.updated > updated


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("entrypoint", ""),
        ("entrypoint", "mail\0"),
        ("execute_after", datetime(2026, 1, 1, 12)),  # noqa: DTZ001 - naive is the point
        ("payload", "text"),
        ("arguments", {"ratio": float("nan")}),
        ("priority", 2**31),
        ("max_attempts", 0),
    ],
)
def test_what_cannot_be_stored_is_refused_where_it_is_set(column: str, value: object) -> None:
    with pytest.raises(InvalidJobError, match=column):
        Job(**{"entrypoint": "mail", column: value})


def test_a_delay_counts_from_the_databases_clock(session: Session) -> None:
    job = Job(entrypoint="mail", execute_after=timedelta(hours=1))
    session.add(job)
    session.flush()
    assert job.execute_after == job.created + timedelta(hours=1)


def test_columns_take_sql_expressions(session: Session) -> None:
    job = Job(entrypoint=func.lower("MAIL"), execute_after=text("now() + interval '1 day'"))
    session.add(job)
    session.flush()
    assert job.entrypoint == "mail"
    assert job.execute_after == job.created + timedelta(days=1)


def test_the_text_of_a_job_shows_what_is_loaded_and_sends_no_query(session: Session) -> None:
    job = Job(entrypoint="mail")
    assert repr(job) == "Job(entrypoint='mail')"
    session.add(job)
    session.flush()
    assert repr(job) == "Job(id=1, entrypoint='mail', status=<JobStatus.QUEUED: 'queued'>)"
    session.commit()
    assert repr(job) == "Job()"


def test_a_job_and_its_log_lead_to_each_other(session: Session) -> None:
    job = Job(entrypoint="mail")
    session.add(job)
    session.flush()
    log = a_log(job_id=job.id, status=LogStatus.EXCEPTION, duration=timedelta(seconds=2))
    orphan = a_log(job_id=job.id + 1)
    session.add_all([log, orphan])
    session.flush()
    assert job.logs == [log]
    assert log.job is job
    assert orphan.job is None
    assert log.duration == timedelta(seconds=2)


def test_relations_serve_in_filters_joins_and_eager_loads(session: Session) -> None:
    worker = a_worker()
    schedule = Schedule(entrypoint="balance", expression="@hourly", next_run=NOON)
    session.add_all([worker, schedule])
    session.flush()
    running = Job(entrypoint="mail", status=JobStatus.PICKED, worker_id=worker.id)
    scheduled = Job(entrypoint="balance", schedule_id=schedule.id)
    session.add_all([running, scheduled])
    session.flush()
    session.add(a_log(job_id=running.id, worker_id=worker.id, schedule_id=schedule.id))
    session.flush()
    session.expire_all()

    assert session.scalars(select(Job).join(Job.worker).where(Worker.hostname == "here")).all() == [running]
    assert session.scalars(select(Job).where(Job.worker == worker)).all() == [running]
    assert session.scalars(select(Job).where(Job.schedule.has(paused=False))).all() == [scheduled]
    assert session.scalars(select(Job).where(Job.logs.any(Log.status == LogStatus.SUCCESSFUL))).all() == [
        running
    ]
    assert session.scalars(select(Worker).where(~Worker.jobs.any())).all() == []
    loaded = session.scalars(select(Log).options(joinedload(Log.job), joinedload(Log.worker))).one()
    assert (loaded.job, loaded.worker, loaded.schedule) == (running, worker, schedule)
    assert (worker.jobs, worker.logs) == ([running], [loaded])
    assert (schedule.jobs, schedule.logs) == ([scheduled], [loaded])


def test_the_edges_of_a_workflow_lead_both_ways(session: Session) -> None:
    first, second = Job(entrypoint="fetch"), Job(entrypoint="load")
    session.add_all([first, second])
    session.flush()
    edge = Dependency(job_id=second.id, depends_on=first.id)
    session.add(edge)
    session.flush()
    assert (edge.job, edge.parent, edge.on_failure) == (second, first, "cancel")
    assert (second.dependencies, first.dependents) == ([edge], [edge])


def test_a_job_waits_as_soon_as_an_edge_is_added(session: Session) -> None:
    first, second = Job(entrypoint="fetch"), Job(entrypoint="load")
    session.add_all([first, second])
    session.flush()
    session.add(Dependency(job_id=second.id, depends_on=first.id))
    session.flush()
    session.refresh(first)
    session.refresh(second)
    assert (first.status, first.waits_for) == (JobStatus.QUEUED, None)
    assert (second.status, second.waits_for) == (JobStatus.WAITING, 1)
    assert first.workflow_id == second.workflow_id is not None


def test_plain_sql_gives_mapped_jobs(session: Session) -> None:
    session.add(Job(entrypoint="mail", headers={"trace": "1"}))
    session.commit()
    job = session.scalars(select(Job).from_statement(text("SELECT * FROM pgq_job"))).one()
    assert (job.headers, job.status) == ({"trace": "1"}, JobStatus.QUEUED)


async def test_an_async_session_never_has_to_load_what_the_database_filled_in(
    async_engine: AsyncEngine,
) -> None:
    async with AsyncSession(async_engine) as session:
        job = Job(entrypoint="mail", payload=b"\0\xff", headers={"trace": "1"}, workflow_id=UUID(int=7))
        session.add_all([job, worker := a_worker(queues=["default"])])
        await session.flush()
        assert job.status is JobStatus.QUEUED
        assert worker.heartbeat == job.execute_after
        job.worker_id = worker.id
        await session.flush()
        assert job.updated == job.created  # now() is when the transaction began
        assert await job.awaitable_attrs.worker is worker
        assert await job.awaitable_attrs.logs == []


class Base(DeclarativeBase):
    """An application's own models, in its own metadata."""


class Receipt(Base):
    __tablename__ = "receipt"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int]
    job: Mapped[Job | None] = relationship(
        Job, primaryjoin=lambda: Receipt.job_id == Job.id, foreign_keys=lambda: Receipt.job_id, viewonly=True
    )


def test_an_applications_own_models_stand_beside_them(session: Session) -> None:
    Base.metadata.create_all(session.connection())
    job = Job(entrypoint="mail")
    session.add(job)
    session.flush()
    session.add(Receipt(job_id=job.id))
    session.commit()
    receipt = session.scalars(select(Receipt).join(Receipt.job).where(Job.entrypoint == "mail")).one()
    assert receipt.job is job
    assert set(Base.metadata.tables) == {"receipt"}
