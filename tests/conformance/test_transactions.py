"""Transactions: whichever door it comes through, a job exists exactly when its caller's transaction commits."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgq_orm.errors import DuplicateJobError
from pgq_orm.sqlalchemy import Job, Queries, SyncQueries
from tests.conformance.callers import Caller
from tests.conformance.doors import Door
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables, ago
from tests.eventually import aeventually

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("any_entrypoint")


async def test_nobody_sees_the_job_before_the_commit_and_everybody_afterwards(
    door: Door, tables: Tables
) -> None:
    await door.put("mail")
    assert [tuple(row) for row in await door.caller.execute("SELECT entrypoint FROM pgq_job")] == [("mail",)]
    assert tables.count_jobs() == 0
    await door.caller.commit()
    assert [(job.entrypoint, job.status) for job in tables.jobs()] == [("mail", "queued")]


async def test_rolling_back_takes_the_job_along(door: Door, tables: Tables) -> None:
    await door.put("mail")
    await door.caller.rollback()
    await door.put("letter")
    await door.caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["letter"]


async def test_rolling_back_to_a_savepoint_takes_its_job_along_and_no_other(
    door: Door, tables: Tables
) -> None:
    await door.put("before")
    await door.caller.set_savepoint()
    await door.put("within")
    await door.caller.rollback_to_savepoint()
    await door.put("after")
    await door.caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["before", "after"]


async def test_the_commit_wakes_a_worker_and_not_the_statement(door: Door, ears: Ears) -> None:
    ears.listen()
    await door.put("mail")
    assert ears.heard() == []
    await door.caller.commit()
    assert await aeventually(ears.heard) == [""]


async def test_what_is_rolled_back_wakes_nobody(door: Door, tables: Tables, ears: Ears) -> None:
    ears.listen()
    await door.put("mail")
    await door.caller.rollback()
    tables.execute("NOTIFY pgq, 'last'")
    assert await aeventually(ears.heard) == ["last"]


async def test_what_was_rolled_back_does_not_keep_the_next_job_from_waking_a_worker(
    door: Door, ears: Ears
) -> None:
    ears.listen()
    await door.put("mail")
    await door.caller.rollback()
    await door.put("before")
    await door.caller.set_savepoint()
    await door.put("within")
    await door.caller.rollback_to_savepoint()
    await door.caller.commit()
    assert await aeventually(ears.heard) == [""]


async def test_a_savepoint_that_was_rolled_back_does_not_keep_its_transaction_from_waking_a_worker(
    door: Door, ears: Ears
) -> None:
    ears.listen()
    await door.caller.set_savepoint()
    await door.put("within")
    await door.caller.rollback_to_savepoint()
    await door.put("after")
    await door.caller.commit()
    assert await aeventually(ears.heard) == [""]


async def test_a_check_of_constraints_before_the_commit_does_not_keep_later_jobs_from_waking_a_worker(
    rival: psycopg.Connection, ears: Ears
) -> None:
    rival.execute(
        "SELECT setval('pgq_wake_seq', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
    )
    rival.execute("INSERT INTO pgq_job (entrypoint) VALUES ('before')")
    rival.execute("SET CONSTRAINTS ALL IMMEDIATE")  # so soon after another wake-up it sends none
    ears.listen()
    rival.execute("INSERT INTO pgq_job (entrypoint) VALUES ('after')")
    rival.commit()
    assert await aeventually(ears.heard) == [""]


async def test_a_job_that_is_brought_forward_wakes_a_worker(
    caller: Caller, tables: Tables, ears: Ears
) -> None:
    tables.add_job(dedupe_key="order-5", execute_after=ago(hours=-1))
    ears.listen()
    await caller.enqueue("mail", dedupe_key="order-5", on_conflict="update")
    assert ears.heard() == []
    await caller.commit()
    assert await aeventually(ears.heard) == [""]


# Two callers want the same dedupe_key at the same moment


async def _while_the_rival(
    end: Callable[[], None], rival: psycopg.Connection, tables: Tables, enqueueing: Awaitable[T]
) -> T:
    """What enqueueing comes to that has to wait for the rival's job with the same key."""
    rival.execute("INSERT INTO pgq_job (entrypoint, dedupe_key) VALUES ('rival', 'order-5')")
    task = asyncio.ensure_future(enqueueing)
    await aeventually(tables.is_somebody_waiting)
    end()
    return await task


async def test_the_second_is_refused_when_the_first_commits(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    await caller.enqueue("before")
    with pytest.raises(DuplicateJobError):
        await _while_the_rival(rival.commit, rival, tables, caller.enqueue("mail", dedupe_key="order-5"))
    await caller.commit()
    assert {job.entrypoint for job in tables.jobs()} == {"before", "rival"}


async def test_the_second_is_enqueued_when_the_first_rolls_back(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    await _while_the_rival(rival.rollback, rival, tables, caller.enqueue("mail", dedupe_key="order-5"))
    await caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["mail"]


async def test_the_second_replaces_the_first_when_it_commits(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    update = caller.enqueue("mail", dedupe_key="order-5", on_conflict="update")
    answer = await _while_the_rival(rival.commit, rival, tables, update)
    await caller.commit()
    assert [(job.id, job.entrypoint) for job in tables.jobs()] == [(answer[0], "mail")]


async def test_a_job_that_is_picked_at_this_very_moment_can_no_longer_be_updated(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    waits = tables.add_job(entrypoint="old", dedupe_key="waits")
    picked = tables.add_job(entrypoint="old", dedupe_key="picked")
    pick = "UPDATE pgq_job SET status = 'picked', lease = lease + 1 WHERE id = %s"
    rival.execute(pick.encode(), [picked])
    keys = ["waits", "picked", "new"]
    enqueueing = asyncio.ensure_future(caller.enqueue("new", dedupe_key=keys, on_conflict="update"))
    await aeventually(tables.is_somebody_waiting)
    rival.commit()
    with pytest.raises(DuplicateJobError) as refusal:
        await enqueueing
    assert refusal.value.dedupe_keys == ["picked"]
    await caller.commit()
    assert [(job.id, job.entrypoint) for job in tables.jobs()] == [(waits, "old"), (picked, "old")]


# Scoped sessions


def test_each_thread_enqueues_in_its_own_session(engine: Engine, tables: Tables) -> None:
    sessions = scoped_session(sessionmaker(engine))
    queries = SyncQueries(sessions)

    def enqueue_and(end: str) -> None:
        queries.enqueue(end)
        getattr(sessions, end)()
        sessions.remove()

    queries.enqueue("of this thread")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(enqueue_and, "commit").result()
        thread.submit(enqueue_and, "rollback").result()
    sessions.remove()
    assert [job.entrypoint for job in tables.jobs()] == ["commit"]


async def test_each_task_enqueues_in_its_own_session(async_engine: AsyncEngine, tables: Tables) -> None:
    sessions = async_scoped_session(async_sessionmaker(async_engine), scopefunc=asyncio.current_task)
    queries = Queries(sessions)

    async def enqueue_and(end: str) -> None:
        await queries.enqueue(end)
        await getattr(sessions, end)()
        await sessions.remove()

    await queries.enqueue("of this task")
    await asyncio.create_task(enqueue_and("commit"))
    await asyncio.create_task(enqueue_and("rollback"))
    await sessions.remove()
    assert [job.entrypoint for job in tables.jobs()] == ["commit"]


# Two-phase commit: PostgreSQL prepares no transaction that would send a NOTIFY

SILENT = text("SET LOCAL pgq.wake = off")


def test_a_connections_prepared_transaction_enqueues_when_it_is_committed(
    engine: Engine, tables: Tables
) -> None:
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(SILENT)
        SyncQueries(connection).enqueue("mail")
        transaction.prepare()
        assert tables.count_jobs() == 0
        transaction.commit()
    assert tables.count_jobs() == 1


def test_a_sessions_prepared_transaction_enqueues_when_it_is_committed(
    engine: Engine, tables: Tables
) -> None:
    with Session(engine, twophase=True) as session:
        session.execute(SILENT)
        SyncQueries(session).enqueue("mail")
        session.add(Job(entrypoint="letter"))
        session.prepare()
        assert tables.count_jobs() == 0
        session.commit()
    assert tables.count_jobs() == 2


def test_a_prepared_transaction_that_is_rolled_back_takes_the_job_along(
    engine: Engine, tables: Tables
) -> None:
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(SILENT)
        SyncQueries(connection).enqueue("mail")
        transaction.prepare()
        transaction.rollback()
    assert tables.count_jobs() == 0


def test_whatever_is_asked_of_the_queue_can_be_part_of_a_prepared_transaction(
    engine: Engine, tables: Tables
) -> None:
    running = tables.add_picked_job(tables.add_worker())
    tables.add_log(job_id=10**6, status="canceled")
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(SILENT)
        queries = SyncQueries(connection)
        assert queries.mark_job_as_cancelled(running) == {running: True}
        queries.requeue_jobs(10**6)
        first = queries.enqueue("first")
        queries.enqueue("second", depends_on=first)
        queries.mark_job_as_cancelled(first)
        queries.pause_queue("slow")
        queries.clear_queue()
        transaction.prepare()
        transaction.commit()
    assert tables.job(running).cancel_requested is not None
    assert tables.ask("SELECT paused FROM pgq_queue WHERE name = 'slow'")


async def test_an_async_sessions_prepared_transaction_enqueues_when_it_is_committed(
    async_engine: AsyncEngine, tables: Tables
) -> None:
    async with AsyncSession(async_engine, twophase=True) as session:
        await session.execute(SILENT)
        await Queries(session).enqueue("mail")
        await session.run_sync(Session.prepare)
        assert tables.count_jobs() == 0
        await session.commit()
    assert tables.count_jobs() == 1
