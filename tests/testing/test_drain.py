"""drain: runs what a test has enqueued inside the test's transaction, as a worker would."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from threading import get_ident
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgq_orm import PgQueuer, Registry
from pgq_orm.errors import CommitRefused, DrainLimitError, JobFailedError, RegistrationError, SessionError
from pgq_orm.executors import HandlerExited
from pgq_orm.sqlalchemy import Job, Log, Schedule, SyncQueries, Worker
from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm.testing import Attempt, drain
from pgq_orm.workflows import Workflow, chain, group
from tests.testing.shop import Order, Refused, add_up_task, shop, thank
from tests.testing.users import UsersTest, answered

Draining = Callable[..., Awaitable[list[Attempt]]]
SUCCESSFUL, EXCEPTION = LogStatus.SUCCESSFUL, LogStatus.EXCEPTION


def told(attempts: list[Attempt]) -> list[tuple[str, str, Any]]:
    return [(attempt.job.entrypoint, attempt.status, attempt.result) for attempt in attempts]


async def test_sync_and_async_handlers_and_tasks_run_with_what_they_enqueue(test: UsersTest) -> None:
    order = Order(id=7)
    await test.add(order)
    await test.enqueue("pay", arguments={"order_id": 7})
    assert told(await test.drain()) == [
        ("pay", SUCCESSFUL, "paid"),
        ("ship", SUCCESSFUL, "shipped"),
        ("thank", SUCCESSFUL, 7),
    ]
    assert order.status == "shipped"  # loaded anew, without a word of the test
    assert [log.status for log in await test.rows(Log)] == [SUCCESSFUL] * 3
    assert await test.rows(Job) == await test.rows(Worker) == []


async def test_nothing_outlives_the_tests_transaction(test: UsersTest, dsn: str) -> None:
    await test.add(Order(id=7))
    await test.enqueue("pay", arguments={"order_id": 7})
    await test.drain()
    await answered(test.session.commit())  # of a savepoint: the fixture rolls back around it
    await answered(test.session.close())
    with psycopg.connect(dsn) as outside:
        for table in ("shop_order", "pgq_job", "pgq_log", "pgq_worker"):
            assert outside.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


async def test_what_has_not_been_flushed_is_run_too(test: UsersTest) -> None:
    test.session.add_all([Order(id=7), Job(entrypoint="ship", arguments={"order_id": 7})])
    assert told(await test.drain())[0] == ("ship", SUCCESSFUL, "shipped")


@pytest.mark.parametrize("entrypoint", ["refuse", "refuse_in_a_thread"])
async def test_a_failure_raises_what_the_handler_raised_and_its_writes_are_gone(
    test: UsersTest, entrypoint: str
) -> None:
    job_id = await test.enqueue(entrypoint)
    with pytest.raises(Refused, match="no such card") as refused:
        await test.drain()
    assert refused.value.__notes__ == [f"raised by job {job_id} of '{entrypoint}', at attempt 1"]
    assert await test.rows(Order) == []
    [log] = await test.rows(Log)
    assert (log.status, log.error) == (EXCEPTION, "Refused: no such card")


async def test_a_failure_is_reported_if_that_is_preferred(test: UsersTest) -> None:
    await test.enqueue("refuse")
    await test.enqueue("thank", arguments={"order_id": 1})
    refused, thanked = await test.drain(raises=False)
    assert (refused.status, repr(refused.error)) == (EXCEPTION, "Refused('no such card')")
    assert (thanked.status, thanked.error) == (SUCCESSFUL, None)
    assert repr(refused) == f"<exception 'refuse', job {refused.job.id}, Refused('no such card')>"


async def test_an_attempt_is_made_again_at_once_and_its_writes_are_gone(test: UsersTest) -> None:
    await test.enqueue("succeed_at_last")
    attempts = await test.drain()
    assert [attempt.status for attempt in attempts] == [JobStatus.QUEUED, JobStatus.QUEUED, SUCCESSFUL]
    assert [repr(attempt.error) for attempt in attempts] == [
        "Refused('attempt 0')",
        "Refused('attempt 1')",
        "None",
    ]
    assert [order.id for order in await test.rows(Order)] == [102]
    assert [(log.attempt, log.retried) for log in await test.rows(Log)] == [(1, True), (2, True), (3, False)]


async def test_a_retry_waits_for_its_time_if_that_is_preferred(test: UsersTest) -> None:
    await test.enqueue("succeed_at_last")
    [attempt] = await test.drain(retries=False)
    assert attempt.status == JobStatus.QUEUED
    [job] = await test.rows(Job)
    assert (job.status, job.attempts, job.execute_after > job.created) == (JobStatus.QUEUED, 1, True)
    assert [attempt.status for attempt in await test.drain(ahead=timedelta(minutes=1))] == [
        JobStatus.QUEUED,
        SUCCESSFUL,
    ]


async def test_a_statement_that_fails_takes_no_more_than_its_attempt_along(test: UsersTest) -> None:
    await test.enqueue("break_the_transaction")
    again, done = await test.drain()
    assert isinstance(again.error, DBAPIError)
    assert done.status == SUCCESSFUL


async def test_what_a_handler_commits_stays(test: UsersTest) -> None:
    await test.enqueue("commit_halfway")
    await test.drain(raises=False)
    assert [order.id for order in await test.rows(Order)] == [1]


async def test_a_transactional_handler_ends_with_what_it_wrote(test: UsersTest) -> None:
    await test.enqueue("charge", arguments={"order_id": 7})
    await test.enqueue("charge_in_a_thread", arguments={"order_id": 9})
    assert told(await test.drain()) == [
        ("charge", JobStatus.QUEUED, None),
        ("charge", SUCCESSFUL, 7),
        ("charge_in_a_thread", SUCCESSFUL, None),
        ("thank", SUCCESSFUL, 7),
    ]
    assert [order.id for order in await test.rows(Order)] == [8, 9]


async def test_a_transactional_handler_that_fails_leaves_nothing(test: UsersTest) -> None:
    await test.enqueue("charge_in_a_thread", arguments={"order_id": -1})
    await test.enqueue("commit_by_itself", arguments={})
    refused, meddled = await test.drain(raises=False)
    assert repr(refused.error) == "Refused('less than nothing')"
    assert isinstance(meddled.error, CommitRefused)
    assert await test.rows(Order) == []


async def test_a_workflow_runs_to_its_end(test: UsersTest) -> None:
    flow = Workflow.of(chain(group(thank.call(1), thank.call(2)), "add_up"))
    await answered(test.queries.enqueue_workflow(flow))
    after = add_up_task.options(depends_on=[await test.enqueue("thank", arguments={"order_id": 5})])
    await answered(after.enqueue(test.session))
    assert [attempt.result for attempt in await test.drain()] == [1, 2, 3, 5, 5]
    assert await test.rows(Job) == []


async def test_a_workflow_that_fails_is_canceled(test: UsersTest) -> None:
    await answered(test.queries.enqueue_workflow(Workflow.of(chain("refuse", "add_up"))))
    [refused] = await test.drain(raises=False)
    assert refused.status == EXCEPTION
    assert await test.rows(Job) == []
    assert [log.status for log in await test.rows(Log)] == [EXCEPTION, LogStatus.CANCELED]


async def test_limits_hold_nothing_back(test: UsersTest) -> None:
    for _ in range(3):
        await test.enqueue("limited")
    assert len(await test.drain()) == 3


async def test_an_object_whose_row_a_handler_deletes_is_gone(test: UsersTest) -> None:
    await test.add(Order(id=1))
    await test.enqueue("delete_orders")
    await test.drain()
    assert await answered(test.session.get(Order, 1)) is None


@pytest.mark.parametrize("entrypoint", ["exit", "exit_a_thread"])
async def test_an_exit_ends_the_job_and_not_the_tests(test: UsersTest, entrypoint: str) -> None:
    await test.enqueue(entrypoint)
    with pytest.raises((JobFailedError, HandlerExited), match=r"SystemExit\(3\)"):
        await test.drain(raises=True)


async def test_a_time_limit_holds(test: UsersTest) -> None:
    await test.enqueue("hang")
    with pytest.raises(JobFailedError, match=r"ran for more than 0:00:00\.05"):
        await test.drain()


async def test_a_verdict_is_obeyed(test: UsersTest) -> None:
    await test.enqueue("snooze")
    await test.enqueue("cancel")
    snoozed, canceled = await test.drain()
    assert (snoozed.status, canceled.status) == (JobStatus.QUEUED, LogStatus.CANCELED)
    [job] = await test.rows(Job)
    assert job.execute_after - job.created == timedelta(minutes=10)


async def test_deferred_jobs_are_run_in_the_order_of_their_times_if_asked_for(test: UsersTest) -> None:
    for minutes in (30, 20, 90):
        await test.enqueue("thank", arguments={"order_id": minutes}, execute_after=timedelta(minutes=minutes))
    assert await test.drain() == []
    assert [attempt.result for attempt in await test.drain(ahead=timedelta(hours=1))] == [20, 30]
    [left] = await test.rows(Job)
    assert left.arguments == {"order_id": 90}


@pytest.mark.parametrize(
    ("entrypoint", "options"), [("ask_again", {}), ("snooze", {"ahead": timedelta(days=1)})]
)
async def test_what_never_ends_is_ended(test: UsersTest, entrypoint: str, options: Any) -> None:
    await test.enqueue(entrypoint)
    with pytest.raises(DrainLimitError, match=rf"made 5 attempts and there are still jobs.*'{entrypoint}'"):
        await test.drain(limit=5, **options)
    [job] = await test.rows(Job)
    assert job.status == JobStatus.QUEUED


async def test_jobs_run_by_priority_and_of_the_queues_that_are_named(test: UsersTest) -> None:
    for number, queue, priority in ((1, "default", 0), (2, "default", 5), (3, "slow", 0)):
        await test.enqueue("thank", arguments={"order_id": number}, queue=queue, priority=priority)
    assert [attempt.result for attempt in await test.drain(queues="default")] == [2, 1]
    assert [attempt.result for attempt in await test.drain()] == [3]


async def test_jobs_without_a_handler_are_left_and_the_log_says_so(
    test: UsersTest, caplog: pytest.LogCaptureFixture
) -> None:
    await test.enqueue("tank")
    assert await test.drain() == []
    [job] = await test.rows(Job)
    assert (job.status, job.lease) == (JobStatus.QUEUED, 0)
    [said] = caplog.messages
    assert said.startswith(
        "no handler for entrypoint 'tank': did you mean 'thank'? 1 job is left (registered: "
    )


async def test_a_schedules_job_is_given_its_schedule(test: UsersTest) -> None:
    await test.add(
        Schedule(entrypoint="audit", expression="@daily", next_run=datetime(2100, 1, 1, tzinfo=UTC))
    )
    await answered(test.queries.run_schedule_now("audit"))
    assert [attempt.result for attempt in await test.drain()] == ["@daily"]


async def test_resources_are_the_applications_or_the_tests(test: UsersTest, engine: Engine) -> None:
    pgq = PgQueuer(engine, registry=shop, resources={"greeting": "hello"})
    await test.enqueue("tell_resources")
    assert [attempt.result for attempt in await test.drain(pgq)] == ["hello"]
    await test.enqueue("tell_resources")
    assert [attempt.result for attempt in await test.drain(resources={"greeting": "hi"})] == ["hi"]


async def test_a_session_that_sees_the_queue_for_the_first_time_will_do(
    engine: Engine, async_engine: AsyncEngine
) -> None:
    with Session(engine) as session:
        assert drain(session, shop) == []
    async with AsyncSession(async_engine) as async_session:
        assert await drain(async_session, shop) == []


def test_a_scoped_session_and_a_connection_will_do(engine: Engine) -> None:
    scoped = scoped_session(sessionmaker(engine))
    thank.enqueue(scoped, 7)
    assert [attempt.result for attempt in drain(scoped, shop)] == [7]
    scoped.remove()
    with engine.connect() as connection:
        thank.enqueue(connection, 7)
        assert [attempt.result for attempt in drain(connection, shop)] == [7]


async def test_an_async_connection_will_do(async_engine: AsyncEngine, engine: Engine) -> None:
    async with async_engine.connect() as connection:
        await thank.enqueue(connection, 7)
        assert [attempt.result for attempt in await drain(connection, shop)] == [7]


def test_outside_of_a_loop_a_sync_handler_may_have_a_loop_of_its_own(session: Session) -> None:
    SyncQueries(session).enqueue("run_a_loop")
    assert [attempt.result for attempt in drain(session, shop)] == ["a loop of its own"]


def test_a_sync_handler_runs_in_the_tests_own_thread(connection_of: Connection) -> None:
    threads: list[int] = []
    registry = Registry()
    registry.entrypoint("note")(lambda job: threads.append(get_ident()))
    SyncQueries(connection_of).enqueue("note")
    drain(connection_of, registry)
    assert threads == [get_ident()]


@pytest.fixture
def connection_of(session: Session) -> Connection:
    return session.connection()


@pytest.mark.parametrize("given", [None, "postgresql://"])
def test_what_is_no_session_is_refused(given: Any) -> None:
    with pytest.raises(SessionError, match=r"not on a builtins.*import pgq_orm_django\.testing instead"):
        drain(given, shop)


def test_an_engine_is_refused(engine: Engine) -> None:
    with pytest.raises(SessionError, match="an Engine has none"):
        drain(engine, shop)  # type: ignore[call-overload]


@pytest.mark.parametrize("given", [thank, test_an_engine_is_refused, None])
def test_what_has_no_handlers_is_refused(session: Session, given: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a Registry or an application such as PgQueuer, .*, not "):
        drain(session, given)


def test_handlers_that_cannot_work_are_refused(session: Session) -> None:
    registry = Registry()

    @registry.entrypoint("ask")
    def ask(job: object, engine: int) -> None: ...

    with pytest.raises(RegistrationError, match="nothing fills"):
        drain(session, registry)


@pytest.mark.filterwarnings("ignore")  # of what is left of the connection
def test_a_handler_that_cuts_the_connection_is_the_cause(engine: Engine) -> None:
    with Session(engine) as session:
        SyncQueries(session).enqueue("cut_the_connection")
        with pytest.raises(SQLAlchemyError) as failed:
            drain(session, shop)
        assert "terminating connection due to administrator command" in str(failed.value.__cause__)
        session.rollback()


async def test_a_number_of_seconds_ahead_is_told_what_to_write(test: UsersTest) -> None:
    seconds: Any = 60
    with pytest.raises(
        TypeError, match=r"ahead must be a timedelta, such as timedelta\(seconds=60\), not 60"
    ):
        await test.drain(ahead=seconds)
