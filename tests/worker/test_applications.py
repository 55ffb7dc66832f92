"""Applications: from whatever a worker is made, and what its halves do and share."""

import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from pgq_orm import PgQueuer, QueueManager, SchedulerManager
from pgq_orm.errors import DuplicateJobError, JobNotRunningError, SessionError
from pgq_orm.models import Context, Job, Schedule, ScheduleContext
from pgq_orm.sqlalchemy import Queries, SyncQueries
from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import Driver, sqlalchemy_url
from tests.eventually import aeventually
from tests.worker.conftest import KINDS, dispose, make_engine
from tests.worker.queues import Queue
from tests.worker.workers import running, seconds

drain = QueueExecutionMode.drain


class ShopSession(Session):
    pass


class AsyncShopSession(AsyncSession):
    pass


SYNC: dict[str, Callable[[Any], Any]] = {
    "engine": lambda engine: engine,
    "sessionmaker": sessionmaker,
    "queries on a session": lambda engine: SyncQueries(Session(engine)),
}
ASYNC: dict[str, Callable[[Any], Any]] = {
    "async engine": lambda engine: engine,
    "async_sessionmaker": async_sessionmaker,
    "queries on an async session": lambda engine: Queries(AsyncSession(engine)),
    "queries of another application": lambda engine: PgQueuer(engine).queries,
}


@pytest.fixture(params=[*SYNC, *ASYNC])
async def connection(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[object]:
    """Each of the things that an application may be made from."""
    engine = make_engine("sync" if request.param in SYNC else "asyncpg", dsn)
    yield (SYNC | ASYNC)[request.param](engine)
    await dispose(engine)


@pytest.mark.parametrize("kind", [PgQueuer, QueueManager])
async def test_a_worker_is_made_from_whatever_knows_the_database(
    kind: type[PgQueuer], connection: object, queue: Queue
) -> None:
    pgq = kind(connection)
    done: list[int] = []

    @pgq.entrypoint("fetch")
    async def fetch(job: Job) -> None:
        done.append(job.id)

    job_ids = queue.enqueue("fetch")
    await pgq.run(mode=drain)
    assert done == job_ids


async def test_a_connection_in_a_transaction_stands_for_its_engine(dsn: str, queue: Queue) -> None:
    engine = make_engine("asyncpg", dsn)
    async with engine.connect() as connection:
        pgq = PgQueuer(Queries(connection))

        @pgq.entrypoint("fetch")
        async def fetch(job: Job) -> None: ...

        queue.enqueue("fetch")
        await pgq.run(mode=drain)
    assert queue.statuses() == ["successful"]
    await dispose(engine)


def test_a_factory_bound_to_nothing_is_refused() -> None:
    with pytest.raises(SessionError, match="bound to no database"):
        PgQueuer(sessionmaker())


def test_a_factory_on_another_database_than_postgresql_is_refused() -> None:
    with pytest.raises(SessionError, match="needs PostgreSQL"):
        PgQueuer(sessionmaker(create_engine("sqlite://")))


async def test_the_factory_makes_the_sessions_that_handlers_ask_for(dsn: str, queue: Queue) -> None:
    engine = create_engine(sqlalchemy_url(dsn))
    pgq = PgQueuer(sessionmaker(engine, class_=ShopSession, info={"shop": 7}))
    seen: list[Any] = []

    @pgq.entrypoint("plain")
    def plain(job: Job, session: Session) -> None:
        seen.append((isinstance(session, ShopSession), session.info))

    @pgq.entrypoint("special")
    def special(job: Job, session: ShopSession) -> None:
        seen.append((isinstance(session, ShopSession), session.info))

    queue.enqueue(["plain", "special"])  # type: ignore[arg-type]
    await pgq.run(mode=drain)
    assert seen == [(True, {"shop": 7})] * 2
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_the_factory_makes_async_sessions_too(dsn: str, queue: Queue, driver: Driver) -> None:
    engine = create_async_engine(sqlalchemy_url(dsn, driver))
    pgq = PgQueuer(async_sessionmaker(engine, class_=AsyncShopSession))
    seen: list[bool] = []

    @pgq.entrypoint("fetch")
    async def fetch(job: Job, session: AsyncSession) -> None:
        seen.append(isinstance(session, AsyncShopSession))
        await Queries(session).enqueue("next")

    queue.enqueue("fetch")
    await pgq.run(mode=drain)
    assert seen == [True]
    assert [job.entrypoint for job in queue.jobs()] == ["next"]
    await engine.dispose()


# The halves


@pytest.fixture
def halves(pgq: PgQueuer) -> tuple[PgQueuer, list[str]]:
    """An application with a handler and a schedule, and what they did."""
    done: list[str] = []

    @pgq.qm.entrypoint("fetch")
    async def fetch(job: Job) -> None:
        done.append("fetch")

    @pgq.sm.schedule("sweep", "* * * * * *", queue="brooms")
    async def sweep(schedule: Schedule) -> None:
        done.append("sweep")

    return pgq, done


async def test_the_queue_manager_leaves_schedules_alone(
    halves: tuple[PgQueuer, list[str]], queue: Queue
) -> None:
    pgq, done = halves
    queue.enqueue(["fetch", "sweep"])  # type: ignore[arg-type]
    await pgq.qm.run(mode=drain)
    assert done == ["fetch"]
    assert [job.entrypoint for job in queue.jobs()] == ["sweep"]
    assert not queue.execute("SELECT * FROM pgq_schedule")


async def test_the_scheduler_manager_runs_schedules_on_their_queues_and_nothing_else(
    halves: tuple[PgQueuer, list[str]], queue: Queue
) -> None:
    pgq, done = halves
    queue.enqueue("fetch")
    async with running(pgq.sm):
        await aeventually(lambda: "sweep" in done)
    assert set(done) == {"sweep"}
    # a tick may have been fired too late for the worker to run it
    assert [job.entrypoint for job in queue.jobs() if job.queue == "default"] == ["fetch"]


async def test_both_halves_may_run_side_by_side(halves: tuple[PgQueuer, list[str]], queue: Queue) -> None:
    pgq, done = halves
    queue.enqueue("fetch")
    async with running(pgq.qm), running(pgq.sm):
        await aeventually(lambda: {"fetch", "sweep"} <= set(done))


async def test_the_whole_runs_both(halves: tuple[PgQueuer, list[str]], queue: Queue) -> None:
    pgq, done = halves
    queue.enqueue("fetch")
    async with running(pgq, queues=("default", "brooms")):
        await aeventually(lambda: {"fetch", "sweep"} <= set(done))


async def test_a_handler_with_a_name_of_its_own_and_a_schedule_belongs_to_both_halves(
    pgq: PgQueuer,
) -> None:
    @pgq.schedule("sweep", "@hourly")
    @pgq.entrypoint("sweep")
    async def sweep() -> None: ...

    assert set(pgq.registry.without_schedules().entrypoints) == {"sweep"}
    assert set(pgq.registry.only_schedules().entrypoints) == {"sweep"}


async def test_the_halves_share_resources_shutdown_and_database(pgq: PgQueuer) -> None:
    for half in (pgq.qm, pgq.sm):
        assert half.shutdown is pgq.shutdown
        assert half.resources is pgq.resources
        assert half.connection is pgq.connection
        assert half.store is pgq.store


async def test_a_scheduler_manager_alone_is_a_worker(dsn: str, queue: Queue) -> None:
    engine = make_engine("asyncpg", dsn)
    sm = SchedulerManager(engine, resources={"broom": "new"})
    swept: list[Any] = []

    @sm.schedule("sweep", "* * * * * *")
    async def sweep(schedule: Schedule, context: Context) -> None:
        swept.append((schedule.expression, context.resources["broom"]))

    async with running(sm):
        await aeventually(lambda: swept)
    assert swept[0] == ("* * * * * *", "new")
    await dispose(engine)


# Contexts


async def test_a_handler_gets_its_context_by_its_jobs_id(pgq: PgQueuer, queue: Queue) -> None:
    pgq.resources["answer"] = 42
    seen: dict[str, Any] = {}

    @pgq.entrypoint("async")
    async def in_loop(job: Job, context: Context) -> None:
        seen["async"] = pgq.qm.get_context(job.id) is context

    @pgq.entrypoint("sync")
    def in_thread(job: Job, context: Context) -> None:
        seen["sync"] = pgq.get_context(job.id) is context

    @pgq.entrypoint("helper")
    def in_a_thread_of_its_own(job: Job, context: Context) -> None:
        # a thread pool's threads have no context variables of ours
        with ThreadPoolExecutor(1) as helper:
            seen["helper"] = helper.submit(pgq.sm.get_context, job.id).result(10) is context

    queue.enqueue(["async", "sync", "helper"])  # type: ignore[arg-type]
    await pgq.run(mode=drain)
    assert seen == {"async": True, "sync": True, "helper": True}


async def test_outside_of_the_jobs_handler_there_is_no_context(pgq: PgQueuer, queue: Queue) -> None:
    errors: list[Exception] = []

    @pgq.entrypoint("nosy")
    async def nosy(job: Job) -> None:
        try:
            pgq.qm.get_context(job.id + 1000)
        except JobNotRunningError as error:
            errors.append(error)

    [job_id] = queue.enqueue("nosy")
    with pytest.raises(JobNotRunningError, match=f"job {job_id} has no context here"):
        pgq.qm.get_context(job_id)
    await pgq.run(mode=drain)
    assert len(errors) == 1
    with pytest.raises(JobNotRunningError):
        pgq.qm.get_context(job_id)


async def test_a_thread_whose_lease_is_lost_sees_its_own_cancellation_and_not_the_new_attempts(
    pgq: PgQueuer, queue: Queue
) -> None:
    gate, contexts = threading.Event(), list[Context]()

    @pgq.entrypoint("stubborn")
    def stubborn(job: Job) -> None:
        context = pgq.qm.get_context(job.id)
        contexts.append(context)
        if len(contexts) == 1:
            gate.wait(20)
            contexts.append(pgq.qm.get_context(job.id))

    [job_id] = queue.enqueue("stubborn")
    async with running(pgq, dequeue_timeout=seconds(0.2)):
        await aeventually(lambda: len(contexts) == 1)
        queue.execute("UPDATE pgq_job SET lease = lease + 1, status = 'queued', worker_id = NULL")
        await aeventually(lambda: len(contexts) == 2)
        await aeventually(lambda: queue.statuses(job_id) == ["successful"])
        gate.set()
    first, second, again = contexts
    assert again is first is not second


# Queries of the application's own


async def test_the_applications_queries_commit_call_by_call(each_pgq: PgQueuer, queue: Queue) -> None:
    job_ids = await each_pgq.queries.enqueue("fetch", [b"a", b"b"])
    assert [job.id for job in queue.jobs()] == job_ids
    assert await each_pgq.qm.queries.mark_job_as_cancelled(job_ids) == dict.fromkeys(job_ids, False)
    assert queue.statuses() == ["canceled", "canceled"]


async def test_a_call_that_raises_has_changed_nothing(each_pgq: PgQueuer, queue: Queue) -> None:
    await each_pgq.queries.enqueue("fetch", dedupe_key="only")
    many: list[str | None] = [*map(str, range(1500)), "only"]
    with pytest.raises(DuplicateJobError):
        await each_pgq.queries.enqueue("fetch", dedupe_key=many)
    assert len(queue.jobs()) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_option", [False, True])
async def test_nor_has_one_on_an_engine_in_autocommit_mode(
    dsn: str, queue: Queue, kind: str, is_option: bool
) -> None:
    mode = {"isolation_level": "AUTOCOMMIT"}
    whole = make_engine(kind, dsn, **({} if is_option else mode))
    engine = whole.execution_options(**mode) if is_option else whole
    pgq = PgQueuer(engine)
    [parent] = await pgq.queries.enqueue("fetch")
    queue.execute("ALTER TABLE pgq_dependency ADD CONSTRAINT refused CHECK (false)")
    with pytest.raises(IntegrityError, match="refused"):
        await pgq.queries.enqueue("fetch", depends_on=parent)
    assert [job.id for job in queue.jobs()] == [parent]

    connection = await engine.connect() if isinstance(engine, AsyncEngine) else engine.connect()
    insert = text("INSERT INTO pgq_job (entrypoint) VALUES ('by the application')")
    if isinstance(connection, AsyncConnection):
        await connection.execute(insert)
        await connection.close()
    else:
        connection.execute(insert)
        connection.close()
    assert len(queue.jobs()) == 2
    await dispose(whole)


async def test_they_answer_as_any_queries_do(each_pgq: PgQueuer) -> None:
    [job_id] = await each_pgq.queries.enqueue("fetch")
    assert await each_pgq.queries.job_status([job_id]) == [(job_id, "queued")]
    [size] = await each_pgq.queries.queue_size()
    assert size.count == 1


async def test_the_context_of_a_tick_may_be_called_as_pgqueuer_calls_it(pgq: PgQueuer, queue: Queue) -> None:
    given: list[Any] = []

    @pgq.schedule("sweep", "@hourly")
    async def sweep(schedule: Schedule, context: ScheduleContext) -> None:
        given.append(context.schedule is schedule)

    async with running(pgq):
        await aeventually(lambda: queue.scalars("SELECT 1 FROM pgq_schedule"))
        await pgq.queries.run_schedule_now("sweep")
        await aeventually(lambda: given)
    assert given == [True]


def test_what_is_no_registry_is_refused(queue: Queue) -> None:
    with pytest.raises(
        TypeError, match="expected a Registry, where handlers are registered, not <module 'threading'"
    ):
        PgQueuer(queue.engine, registry=threading)  # type: ignore[arg-type]
