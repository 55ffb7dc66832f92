"""Enqueueing tasks: on each kind of session, in its transaction, which a refusal does not harm."""

from collections.abc import AsyncIterator
from datetime import timedelta
from inspect import isawaitable
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgq_orm import PgQueuer, Registry, enqueue_many
from pgq_orm.errors import DuplicateJobError, InvalidJobError, SessionError
from pgq_orm.sqlalchemy import Queries, SyncQueries
from pgq_orm.tasks import CallOptions
from pgq_orm.testing import assert_enqueued, drain
from tests.databases import sqlalchemy_url
from tests.tasks.shop import count_words, send_receipt, tasks
from tests.worker.queues import Queue

CARRIERS: dict[str, Any] = {
    "Session": Session,
    "Connection": Engine.connect,
    "scoped_session": lambda engine: scoped_session(sessionmaker(engine)),
    "AsyncSession, psycopg": AsyncSession,
    "AsyncSession, asyncpg": AsyncSession,
    "AsyncConnection, asyncpg": AsyncEngine.connect,
    "async_scoped_session": lambda engine: async_scoped_session(async_sessionmaker(engine), lambda: None),
}


async def answered(answer: Any) -> Any:
    return await answer if isawaitable(answer) else answer


@pytest.fixture(params=CARRIERS)
async def session(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Any]:
    """A session or connection of each kind, in a transaction."""
    name: str = request.param
    is_async = name.lower().startswith("async")
    url = sqlalchemy_url(dsn, "asyncpg" if "asyncpg" in name else "psycopg")
    engine: Any = create_async_engine(url) if is_async else create_engine(url)
    carrier = CARRIERS[name](engine)
    if isinstance(carrier, AsyncConnection):
        await carrier.start()
    yield carrier
    await answered(carrier.close())
    await answered(engine.dispose())


async def test_a_call_is_a_job_of_the_sessions_transaction(session: Any, queue: Queue) -> None:
    job_id = await answered(send_receipt.enqueue(session, 7, copies=2))
    assert queue.jobs() == []
    await answered(session.commit())
    job = queue.job(job_id)
    assert (job.entrypoint, job.arguments, job.queue) == (
        "send_receipt",
        {"order_id": 7, "copies": 2},
        "default",
    )


async def test_a_refused_call_leaves_the_transaction_as_it_was(session: Any, queue: Queue) -> None:
    kept = await answered(send_receipt.enqueue(session, 7))
    with pytest.raises(InvalidJobError):
        await answered(send_receipt.enqueue(session, 0))
    with pytest.raises(InvalidJobError):
        await answered(count_words.enqueue(session, "a\0b"))
    await answered(session.commit())
    assert [job.id for job in queue.jobs()] == [kept]


async def test_options_are_of_the_calls_that_ask_for_them(session: Any, queue: Queue) -> None:
    later = send_receipt.options(
        priority=5,
        execute_after=timedelta(minutes=1),
        queue="mail",
        headers={"trace": "1"},
        max_attempts=2,
        dedupe_key="receipt-7",
    )
    job = queue_row = await answered(later.enqueue(session, 7))
    plain = await answered(send_receipt.enqueue(session, 8))
    await answered(session.commit())
    queue_row = queue.job(job)
    assert (queue_row.priority, queue_row.queue, queue_row.headers) == (5, "mail", {"trace": "1"})
    assert (queue_row.max_attempts, queue_row.dedupe_key) == (2, "receipt-7")
    assert queue_row.execute_after - queue_row.created == timedelta(minutes=1)
    row = queue.job(plain)
    assert (row.priority, row.queue, row.headers, row.max_attempts) == (0, "default", None, None)


async def test_a_task_has_a_queue_and_a_priority_of_its_own(session: Any, queue: Queue) -> None:
    ids = [
        await answered(count_words.enqueue(session, "to be")),
        await answered(count_words.options(priority=0).enqueue(session, "to be")),
    ]
    await answered(session.commit())
    assert [(queue.job(job_id).queue, queue.job(job_id).priority) for job_id in ids] == [
        ("slow", 7),
        ("slow", 0),
    ]


async def test_many_calls_of_several_tasks_are_one_wish(session: Any, queue: Queue) -> None:
    calls = [
        send_receipt.call(7),
        count_words.call("to be"),
        send_receipt.options(priority=3, dedupe_key="once").call(8, copies=2),
    ]
    ids = await answered(enqueue_many(session, calls))
    await answered(session.commit())
    rows = [queue.job(job_id) for job_id in ids]
    assert [(row.entrypoint, row.arguments, row.queue, row.priority, row.dedupe_key) for row in rows] == [
        ("send_receipt", {"order_id": 7}, "default", 0, None),
        ("count_words", {"text": "to be"}, "slow", 7, None),
        ("send_receipt", {"order_id": 8, "copies": 2}, "default", 3, "once"),
    ]


async def test_a_duplicate_is_raised_or_skipped(session: Any, queue: Queue) -> None:
    once = send_receipt.options(dedupe_key="once")
    first = await answered(once.enqueue(session, 7))
    with pytest.raises(DuplicateJobError):
        await answered(once.enqueue(session, 7))
    assert await answered(once.options(on_conflict="skip").enqueue(session, 7)) is None
    assert await answered(once.options(on_conflict="update").enqueue(session, 8)) == first
    skipped = await answered(enqueue_many(session, [once.call(9), send_receipt.call(9)], on_conflict="skip"))
    assert skipped[0] is None
    await answered(session.commit())
    assert queue.job(first).arguments == {"order_id": 8}


async def test_calls_that_come_one_by_one_are_not_held(session: Any, queue: Queue) -> None:
    is_async = isinstance(session, AsyncSession | AsyncConnection | async_scoped_session)
    queries: Any = Queries(session) if is_async else SyncQueries(session)
    calls = (send_receipt.options(priority=number % 2).call(number) for number in range(1, 2500))
    assert await answered(queries.enqueue_each(call.as_job() for call in calls)) == 2499
    await answered(session.commit())
    assert queue.scalars("SELECT count(*) FROM pgq_job WHERE priority = 1") == [1250]


def test_no_calls_are_no_jobs(engine: Engine) -> None:
    with Session(engine) as session:
        assert enqueue_many(session, []) == []


def test_jobs_of_one_wish_have_one_answer_to_duplicates(engine: Engine) -> None:
    call = send_receipt.options(dedupe_key="once", on_conflict="skip").call(7)
    with Session(engine) as session, pytest.raises(InvalidJobError, match="say it there"):
        enqueue_many(session, [call])


def test_an_option_is_of_one_call() -> None:
    with pytest.raises(InvalidJobError, match="priority is of one call and cannot be a list"):
        send_receipt.options(priority=[1, 2])  # type: ignore[call-overload]


async def test_without_a_transaction_at_hand_queries_will_do(dsn: str, queue: Queue) -> None:
    async_engine = create_async_engine(sqlalchemy_url(dsn))
    job_id = await send_receipt.enqueue(PgQueuer(async_engine).queries, 7)
    assert queue.job(job_id).arguments == {"order_id": 7}
    await async_engine.dispose()
    with Session(queue.engine) as session, session.begin():
        ids = enqueue_many(SyncQueries(session), [send_receipt.call(8)])
    assert queue.job(ids[0]).arguments == {"order_id": 8}


def test_what_depends_on_others_is_enqueued_by_itself(engine: Engine) -> None:
    with Session(engine) as session:
        first = send_receipt.enqueue(session, 7)
        second = send_receipt.options(depends_on=[first], on_failure="ignore").enqueue(session, 8)
        query = text("SELECT job_id, depends_on, on_failure FROM pgq_dependency")
        assert [tuple(row) for row in session.execute(query)] == [(second, first, "ignore")]
        with pytest.raises(InvalidJobError, match="depends_on cannot be said of one among many calls"):
            enqueue_many(session, [send_receipt.options(depends_on=first).call(9)])


def test_every_call_with_the_same_options_waits_for_all_parents(engine: Engine) -> None:
    with Session(engine) as session:
        parents = [send_receipt.enqueue(session, number) for number in (7, 8)]
        later = send_receipt.options(depends_on=(parent for parent in parents))
        children = [later.enqueue(session, number) for number in (9, 10)]
        query = text("SELECT job_id, depends_on FROM pgq_dependency ORDER BY job_id, depends_on")
        found = [tuple(row) for row in session.execute(query)]
        assert found == [(child, parent) for child in children for parent in parents]


def test_every_option_of_enqueue_may_be_said_of_a_call() -> None:
    from pgq_orm.operations.additions import EnqueueOptions

    common = {"priority", "execute_after", "dedupe_key", "headers"}
    assert CallOptions.__annotations__.keys() == (EnqueueOptions.__annotations__.keys() | common) - {
        "arguments"
    }


@pytest.mark.parametrize("given", ["postgresql://", object()])
def test_what_is_no_session_is_refused(given: Any) -> None:
    with pytest.raises(SessionError, match="on a session or connection of SQLAlchemy, not on a builtins"):
        send_receipt.enqueue(given, 7)


def test_a_session_that_is_forgotten_or_named_is_asked_for_first(engine: Engine) -> None:
    wanted = "pass one as the first argument, without a name"
    with Session(engine) as session:
        with pytest.raises(SessionError, match=f"not on a builtins.int: {wanted}"):
            send_receipt.enqueue(7)  # type: ignore[call-overload]
        with pytest.raises(SessionError, match=f"of SQLAlchemy, and there is none: {wanted}"):
            send_receipt.enqueue(order_id=7)  # type: ignore[call-overload]
        with pytest.raises(SessionError, match=wanted):
            send_receipt.enqueue(session=session, order_id=7)  # type: ignore[call-overload]


@pytest.mark.parametrize("option", ["priority", "execute_after", "queue", "dedupe_key", "on_conflict"])
def test_an_option_among_the_arguments_is_told_where_it_belongs(engine: Engine, option: str) -> None:
    words = rf"{option} is said of the job, .*: send_receipt\.options\({option}=…\)\.enqueue\(…\)"
    with Session(engine) as session, pytest.raises(InvalidJobError, match=words):
        send_receipt.enqueue(session, 7, **{option: None})  # type: ignore[call-overload]


def test_a_parameter_may_be_named_like_an_option() -> None:
    @Registry().task
    def paint(queue: str, priority: int) -> None: ...

    assert paint.call("a", priority=3).arguments == {"queue": "a", "priority": 3}


async def test_an_await_that_is_forgotten_is_told_by_the_name_of_what_was_called(dsn: str) -> None:
    async_engine = create_async_engine(sqlalchemy_url(dsn))
    async with AsyncSession(async_engine) as session:
        for call, name in (
            (lambda: send_receipt.enqueue(session, 7), "send_receipt.enqueue"),
            (lambda: enqueue_many(session, []), "enqueue_many"),
            (lambda: Queries(session).enqueue("mail"), "Queries.enqueue"),
            (lambda: PgQueuer(async_engine).queries.job_status(1), "AutocommitQueries.job_status"),
            (lambda: drain(session, tasks), "drain"),
            (lambda: assert_enqueued(session, "mail"), "assert_enqueued"),
        ):
            with pytest.warns(RuntimeWarning, match=f"^coroutine '{name}' was never awaited"):
                call()
    await async_engine.dispose()


@pytest.mark.parametrize("given", [send_receipt, 7])
def test_what_is_no_call_is_refused(engine: Engine, given: Any) -> None:
    with (
        Session(engine) as session,
        pytest.raises(
            InvalidJobError, match=r"takes calls of tasks, such as send_receipt\.call\(order_id=7\), not"
        ),
    ):
        enqueue_many(session, [given])


def test_an_engine_has_no_transaction(engine: Engine) -> None:
    with pytest.raises(SessionError, match="an Engine has none"):
        send_receipt.enqueue(engine, 7)  # type: ignore[call-overload]
    with pytest.raises(SessionError, match="an AsyncEngine has none"):
        send_receipt.enqueue(create_async_engine("postgresql+psycopg://"), 7)  # type: ignore[call-overload]


def test_a_session_of_a_subclass_will_do(engine: Engine) -> None:
    class Own(Session):
        pass

    with Own(engine) as session:
        assert send_receipt.enqueue(session, 7)
        assert session.execute(text("SELECT count(*) FROM pgq_job")).scalar_one() == 1
