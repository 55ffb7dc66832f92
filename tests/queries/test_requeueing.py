"""Requeueing: what has ended is enqueued again, as it was, once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pgq_orm.errors import RequeueRefusedError
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.statuses import LogStatus
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.queries.askers import Asker
from tests.queries.workshop import Workshop

NOBODYS_ID = 2**62


async def test_a_failed_job_is_enqueued_as_it_was(asker: Asker, workshop: Workshop) -> None:
    old = workshop.add(
        "mail",
        b"\x00\xff",
        priority=7,
        headers={"trace": "å"},
        arguments={"to": ["zoë"]},
        queue="slow",
        max_attempts=3,
    )
    workshop.retry(old)
    workshop.fail(old)
    answer = await asker.ask("requeue_jobs", [old])
    await asker.commit()
    job = workshop.job(answer[old])
    assert (job.entrypoint, job.payload, job.priority, job.queue) == ("mail", b"\x00\xff", 7, "slow")
    assert (job.headers, job.arguments, job.max_attempts) == ({"trace": "å"}, {"to": ["zoë"]}, 3)
    assert (job.status, job.attempts, job.lease) == ("queued", 0, 0)
    assert job.created == job.updated == job.execute_after


async def test_the_limits_and_the_origin_stay(asker: Asker, workshop: Workshop) -> None:
    old = workshop.add()
    workshop.connection.execute(
        "UPDATE pgq_job SET concurrency_key = 'a', schedule_id = 5, workflow_id = gen_random_uuid()"
    )
    before = workshop.job(old)
    workshop.fail(old)
    answer = await asker.ask("requeue_jobs", old)
    await asker.commit()
    job = workshop.job(answer[old])
    assert (job.concurrency_key, job.schedule_id, job.workflow_id) == ("a", 5, before.workflow_id)


async def test_a_canceled_job_comes_back_whether_it_ran_or_not(asker: Asker, workshop: Workshop) -> None:
    ran = workshop.finish(workshop.add("mail", b"a"), LogStatus.CANCELED)
    waited = workshop.add("mail", b"b")
    await asker.ask("mark_job_as_cancelled", waited)
    answer = await asker.ask("requeue_jobs", [ran, waited])
    await asker.commit()
    assert [workshop.job(answer[id]).payload for id in (ran, waited)] == [b"a", b"b"]


async def test_a_job_that_succeeded_comes_back_if_it_was_given_nothing(
    asker: Asker, workshop: Workshop
) -> None:
    old = workshop.finish(workshop.add())
    answer = await asker.ask("requeue_jobs", [old])
    await asker.commit()
    assert workshop.job(answer[old]).status == "queued"


@pytest.mark.parametrize(
    "given", [{"payload": b""}, {"arguments": {}}, {"headers": {}}], ids=["payload", "arguments", "headers"]
)
async def test_a_job_that_succeeded_with_something_is_refused(
    asker: Asker, workshop: Workshop, given: dict[str, Any]
) -> None:
    old = workshop.finish(workshop.add(**given))
    with pytest.raises(RequeueRefusedError, match=f"job {old} succeeded, and what it was given is not kept"):
        await asker.ask("requeue_jobs", [old])


def keep_queued(workshop: Workshop, job_id: int) -> None:
    pass


@pytest.mark.parametrize("bring", [keep_queued, Workshop.pick, Workshop.retry])
async def test_a_job_that_is_still_to_be_done_is_refused(
    asker: Asker, workshop: Workshop, bring: Callable[[Workshop, int], object]
) -> None:
    job_id = workshop.add()
    bring(workshop, job_id)
    with pytest.raises(RequeueRefusedError, match=f"job {job_id} is still to be done"):
        await asker.ask("requeue_jobs", [job_id])
    await asker.commit()
    assert workshop.value("SELECT count(*) FROM pgq_job") == 1


async def test_an_unknown_job_is_refused(asker: Asker) -> None:
    with pytest.raises(RequeueRefusedError, match="is not to be found"):
        await asker.ask("requeue_jobs", [NOBODYS_ID])


async def test_a_job_is_not_requeued_twice_at_a_time(asker: Asker, workshop: Workshop) -> None:
    old = workshop.fail(workshop.add())
    answer = await asker.ask("requeue_jobs", [old])
    await asker.commit()
    refusal = f"job {old} was enqueued again, as job {answer[old]}, which is still to be done"
    with pytest.raises(RequeueRefusedError, match=refusal):
        await asker.ask("requeue_jobs", [old])
    with pytest.raises(RequeueRefusedError, match=f"job {old} was enqueued again, as a job that is still"):
        await asker.ask("requeue_jobs", [old], force=True)
    await asker.commit()

    workshop.fail(answer[old])
    again = await asker.ask("requeue_jobs", [answer[old]])
    assert list(again) == [answer[old]]


async def test_a_job_that_was_run_again_and_succeeded_runs_once_more_only_by_force(
    asker: Asker, workshop: Workshop
) -> None:
    old = workshop.fail(workshop.add("mail", b"a"))
    new = workshop.finish((await requeued(asker, old))[old])
    with pytest.raises(
        RequeueRefusedError, match=f"job {old} was enqueued again, as job {new}, which succeeded .*force=True"
    ):
        await asker.ask("requeue_jobs", [old])
    assert await asker.ask("requeue_jobs", [old], on_refused="skip") == {}
    answer = await asker.ask("requeue_jobs", [old], force=True)
    await asker.commit()
    assert workshop.job(answer[old]).payload == b"a"
    assert workshop.log(old).requeued_as == answer[old]


async def test_of_a_job_and_its_own_later_run_the_later_one_is_requeued(
    asker: Asker, workshop: Workshop
) -> None:
    first = workshop.fail(workshop.add())
    second = workshop.fail((await requeued(asker, first))[first])
    with pytest.raises(
        RequeueRefusedError, match=f"job {first} was enqueued again, as job {second}, which failed"
    ):
        await asker.ask("requeue_jobs", [first, second])
    answer = await asker.ask("requeue_jobs", [first, second], on_refused="skip")
    assert list(answer) == [second]
    third = answer[second]
    with pytest.raises(
        RequeueRefusedError, match=f"job {first} was enqueued again, as job {third}, which is still"
    ):
        await asker.ask("requeue_jobs", [first])


async def test_of_a_job_that_was_run_again_and_again_the_last_failure_is_listed(
    asker: Asker, workshop: Workshop
) -> None:
    first = workshop.fail(workshop.add())
    second = (await requeued(asker, first))[first]
    assert await asker.ask("list_failed_jobs") == []
    workshop.fail(second)
    assert [job.id for job in await asker.ask("list_failed_jobs")] == [second]
    third = (await requeued(asker, second))[second]
    workshop.finish(third)
    assert await asker.ask("list_failed_jobs") == []


async def test_a_job_that_was_run_again_and_canceled_is_requeued_in_its_turn(
    asker: Asker, workshop: Workshop
) -> None:
    first = workshop.fail(workshop.add("mail", b"a"))
    second = (await requeued(asker, first))[first]
    await asker.ask("mark_job_as_cancelled", second)
    with pytest.raises(RequeueRefusedError, match=f"as job {second}, which was canceled: requeue that one"):
        await asker.ask("requeue_jobs", [first])
    assert list(await asker.ask("requeue_jobs", [second])) == [second]


async def test_what_became_of_a_job_that_was_run_again_may_be_forgotten(
    asker: Asker, workshop: Workshop
) -> None:
    old = workshop.fail(workshop.add())
    new = workshop.finish((await requeued(asker, old))[old])
    workshop.connection.execute("DELETE FROM pgq_log WHERE job_id = %s", [new])
    with pytest.raises(RequeueRefusedError, match=rf"job {old} was enqueued again, as job {new} \("):
        await asker.ask("requeue_jobs", [old])


async def test_a_refusal_leaves_failures_in_the_list(asker: Asker, workshop: Workshop) -> None:
    failed, again = workshop.fail(workshop.add()), workshop.fail(workshop.add())
    workshop.finish((await requeued(asker, again))[again])
    before = workshop.log(again).requeued_as
    with pytest.raises(RequeueRefusedError):
        await asker.ask("requeue_jobs", [failed, again, NOBODYS_ID], force=True)
    await asker.commit()
    assert [job.id for job in await asker.ask("list_failed_jobs")] == [failed]
    assert workshop.log(again).requeued_as == before


async def requeued(asker: Asker, job_id: int) -> dict[int, int]:
    """The answer, committed."""
    answer: dict[int, int] = await asker.ask("requeue_jobs", [job_id])
    await asker.commit()
    return answer


async def test_a_dedupe_key_stays_and_holds(asker: Asker, workshop: Workshop) -> None:
    first = workshop.fail(workshop.add("mail", b"1", dedupe_key="order-5"))
    second = workshop.fail(workshop.add("mail", b"2", dedupe_key="order-5"))
    answer = await asker.ask("requeue_jobs", [second, first], on_refused="skip")
    await asker.commit()
    assert list(answer) == [first]
    assert workshop.job(answer[first]).dedupe_key == "order-5"
    with pytest.raises(RequeueRefusedError, match=f"job {second} has the dedupe_key"):
        await asker.ask("requeue_jobs", [second])


async def test_one_refusal_keeps_them_all_from_being_requeued(asker: Asker, workshop: Workshop) -> None:
    (mine,) = await asker.ask("enqueue", "mail")
    failed, queued = workshop.fail(workshop.add("mail")), workshop.add("letter")
    with pytest.raises(RequeueRefusedError) as caught:
        await asker.ask("requeue_jobs", [failed, queued, NOBODYS_ID])
    assert caught.value.refusals == {queued: "is still to be done", NOBODYS_ID: "is not to be found"}
    await asker.commit()
    assert workshop.value("SELECT array_agg(id ORDER BY id) FROM pgq_job") == [mine, queued]


async def test_of_many_refusals_the_first_are_told_and_all_are_known(asker: Asker) -> None:
    with pytest.raises(RequeueRefusedError, match="is not to be found; and 90 more") as caught:
        await asker.ask("requeue_jobs", range(2**31 + 9001, 2**31 + 9101))
    assert len(caught.value.refusals) == 100


async def test_refusals_may_be_left_out(asker: Asker, workshop: Workshop) -> None:
    failed, queued = workshop.fail(workshop.add("mail")), workshop.add("letter")
    answer = await asker.ask("requeue_jobs", [failed, queued, NOBODYS_ID], on_refused="skip")
    assert list(answer) == [failed]


async def test_thousands_of_jobs_may_be_requeued(asker: Asker, workshop: Workshop) -> None:
    old = await asker.ask("enqueue", "mail", [str(number).encode() for number in range(2500)])
    await asker.ask("clear_queue")
    answer = await asker.ask("requeue_jobs", old)
    await asker.commit()
    assert list(answer) == old
    payloads = workshop.value("SELECT array_agg(payload ORDER BY id) FROM pgq_job")
    assert payloads == [str(number).encode() for number in range(2500)]


async def test_requeueing_is_undone_by_a_rollback(asker: Asker, workshop: Workshop) -> None:
    old = workshop.fail(workshop.add())
    await asker.ask("requeue_jobs", [old])
    assert workshop.value("SELECT count(*) FROM pgq_job") == 0
    await asker.rollback()
    assert workshop.value("SELECT count(*) FROM pgq_job") == 0
    assert await asker.ask("requeue_jobs", [old])


async def test_requeueing_wakes_a_worker(asker: Asker, workshop: Workshop, dsn: str) -> None:
    old = workshop.fail(workshop.add())
    workshop.connection.execute("SELECT setval('pgq_wake_seq', 1)")
    with psycopg.connect(dsn, autocommit=True) as ears:
        ears.execute("LISTEN pgq")
        await asker.ask("requeue_jobs", [old])
        await asker.commit()
        (notice,) = ears.notifies(timeout=30, stop_after=1)
    assert notice.payload == ""


async def test_of_two_who_requeue_at_a_time_one_is_refused(
    asker: Asker, workshop: Workshop, dsn: str
) -> None:
    old = workshop.fail(workshop.add())
    answer = await asker.ask("requeue_jobs", [old])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    rival = requeued_by_a_rival(dsn, old)
    await aeventually(lambda: workshop.value(waiting))
    await asker.commit()
    assert await rival == {}
    assert workshop.value("SELECT array_agg(id) FROM pgq_job") == [answer[old]]


def requeued_by_a_rival(dsn: str, job_id: int) -> Awaitable[dict[int, int]]:
    def requeue() -> dict[int, int]:
        engine = create_engine(sqlalchemy_url(dsn))
        with Session(engine) as session, session.begin():
            answer = SyncQueries(session).requeue_jobs(job_id, on_refused="skip")
        engine.dispose()
        return answer

    return asyncio.create_task(asyncio.to_thread(requeue))
