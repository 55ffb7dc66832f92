"""Clearing: what nobody has begun is canceled, what runs goes on, and the log can be emptied."""

import asyncio
import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pgq_orm.errors import InvalidJobError
from pgq_orm.sqlalchemy import SyncQueries
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.queries.askers import Asker
from tests.queries.workshop import Workshop

IS_SOMEBODY_WAITING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock')"
)


async def test_clearing_cancels_what_waits_and_leaves_what_runs(asker: Asker, workshop: Workshop) -> None:
    picked, queued = workshop.add("mail"), workshop.add("letter", b"a", arguments={"b": 1})
    waiting = workshop.add("fax")
    workshop.pick(picked)
    workshop.connection.execute("UPDATE pgq_job SET status = 'waiting' WHERE id = %s", [waiting])
    assert await asker.ask("clear_queue") == 2
    await asker.commit()
    assert workshop.job(picked).status == "picked"
    assert workshop.job(picked).cancel_requested is None
    assert workshop.job(queued) is workshop.job(waiting) is None
    logged = workshop.log(queued)
    assert (logged.status, logged.payload, logged.arguments, logged.retried) == (
        "canceled",
        b"a",
        {"b": 1},
        False,
    )


async def test_what_was_cleared_can_be_requeued(asker: Asker, workshop: Workshop) -> None:
    job_id = workshop.add("mail", b"a")
    await asker.ask("clear_queue")
    answer = await asker.ask("requeue_jobs", job_id)
    await asker.commit()
    assert workshop.job(answer[job_id]).payload == b"a"


@pytest.mark.parametrize(
    ("entrypoint", "cleared"),
    [("mail", 1), (["mail", "letter"], 2), (["mail", "mail"], 1), ("fax", 0), ([], 0)],
)
async def test_only_the_entrypoints_that_are_named_are_cleared(
    asker: Asker, workshop: Workshop, entrypoint: Any, cleared: int
) -> None:
    for name in ("mail", "letter", "telegram"):
        workshop.add(name)
    assert await asker.ask("clear_queue", entrypoint) == cleared
    await asker.commit()
    assert workshop.value("SELECT count(*) FROM pgq_job") == 3 - cleared


@pytest.mark.parametrize("method", ["clear_queue", "clear_queue_log"])
async def test_a_rollback_brings_everything_back(asker: Asker, workshop: Workshop, method: str) -> None:
    workshop.add()
    workshop.finish(workshop.add("letter"))
    assert await asker.ask(method) == 1
    await asker.rollback()
    assert workshop.value("SELECT count(*) FROM pgq_job") == 1
    assert workshop.value("SELECT count(*) FROM pgq_log") == 1


@pytest.mark.parametrize("method", ["clear_queue", "clear_queue_log"])
async def test_an_impossible_name_is_refused_and_the_transaction_goes_on(asker: Asker, method: str) -> None:
    with pytest.raises(InvalidJobError, match="entrypoint holds a character"):
        await asker.ask(method, ["mail", "a\0b"])
    assert await asker.ask(method) == 0


async def test_the_log_of_some_entrypoints_is_deleted_or_all_of_it(asker: Asker, workshop: Workshop) -> None:
    for name in ("mail", "letter", "fax"):
        workshop.finish(workshop.add(name))
    assert await asker.ask("clear_queue_log", "mail") == 1
    assert await asker.ask("clear_queue_log", []) == 0
    assert await asker.ask("clear_queue_log") == 2


async def test_a_worker_can_end_its_jobs_while_the_log_is_being_deleted(
    asker: Asker, workshop: Workshop
) -> None:
    workshop.finish(workshop.add("mail"))
    assert await asker.ask("clear_queue_log") == 1
    workshop.finish(workshop.add("letter"))
    await asker.commit()
    assert workshop.value("SELECT entrypoint FROM pgq_log") == "letter"


@pytest.mark.parametrize(
    ("change", "is_cleared"),
    [("status = 'picked', lease = 1", False), ("updated = now()", True)],
    ids=["picked", "promoted"],
)
async def test_what_happens_to_a_job_at_the_same_time_is_waited_for_and_counts(
    workshop: Workshop, dsn: str, change: str, is_cleared: bool
) -> None:
    job_id = workshop.add()
    with psycopg.connect(dsn) as rival:
        rival.execute(f"UPDATE pgq_job SET {change}".encode())
        clearing = asyncio.create_task(asyncio.to_thread(cleared, dsn))
        await aeventually(lambda: workshop.value(IS_SOMEBODY_WAITING))
        rival.commit()
        assert await clearing == is_cleared
    assert (workshop.job(job_id) is None) == is_cleared


async def test_two_who_clear_and_cancel_at_a_time_do_not_wait_in_a_circle(
    workshop: Workshop, dsn: str
) -> None:
    for _ in range(5):
        job_ids = [workshop.add() for _ in range(300)]
        start = threading.Barrier(3)
        answers = await asyncio.gather(
            asyncio.to_thread(cleared, dsn, None, start),
            asyncio.to_thread(cleared, dsn, None, start),
            asyncio.to_thread(cleared, dsn, job_ids[::-1], start),
        )
        assert sum(answers) == 300


def cleared(dsn: str, job_ids: list[int] | None = None, start: threading.Barrier | None = None) -> int:
    """Clears the queue, or cancels these jobs; answers how many it came to."""
    engine = create_engine(sqlalchemy_url(dsn))
    with Session(engine) as session, session.begin():
        queries = SyncQueries(session)
        session.connection()
        if start is not None:
            start.wait(timeout=30)
        answer = queries.clear_queue() if job_ids is None else len(queries.mark_job_as_cancelled(job_ids))
    engine.dispose()
    return answer
