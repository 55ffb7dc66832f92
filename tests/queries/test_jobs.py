"""Jobs: what became of them, and what is to become of them."""

import pytest

from pgq_orm.errors import InvalidJobError, JobFailedError, JobNotFinishedError, JobNotFoundError
from pgq_orm.statuses import JobStatus, LogStatus
from tests.queries.askers import Asker
from tests.queries.workshop import Workshop

NOBODYS_ID = 2**62


async def test_each_job_has_the_status_of_its_place_in_life(asker: Asker, workshop: Workshop) -> None:
    queued, picked, done, failed, canceled = (workshop.add(f"mail-{number}") for number in range(5))
    workshop.pick(picked)
    workshop.finish(done)
    workshop.fail(failed)
    workshop.finish(canceled, LogStatus.CANCELED)
    assert await asker.ask("job_status", [failed, queued, canceled, picked, done]) == [
        (failed, "exception"),
        (queued, "queued"),
        (canceled, "canceled"),
        (picked, "picked"),
        (done, "successful"),
    ]


async def test_a_status_is_a_member_of_its_enum(asker: Asker, workshop: Workshop) -> None:
    queued, done = workshop.add("mail"), workshop.finish(workshop.add("letter"))
    answer = dict(await asker.ask("job_status", [queued, done]))
    assert answer[queued] is JobStatus.QUEUED
    assert answer[done] is LogStatus.SUCCESSFUL


async def test_a_job_that_is_to_be_retried_is_queued_whatever_its_log_says(
    asker: Asker, workshop: Workshop
) -> None:
    job_id = workshop.add()
    workshop.retry(job_id)
    assert await asker.ask("job_status", job_id) == [(job_id, "queued")]
    workshop.retry(job_id)
    workshop.finish(job_id)
    assert await asker.ask("job_status", job_id) == [(job_id, "successful")]


async def test_an_unknown_job_has_no_status(asker: Asker, workshop: Workshop) -> None:
    job_id = workshop.add()
    assert await asker.ask("job_status", [NOBODYS_ID, job_id, job_id]) == [(job_id, "queued")]
    assert await asker.ask("job_status", []) == []


async def test_thousands_of_jobs_may_be_asked_for(asker: Asker, workshop: Workshop) -> None:
    job_ids = await asker.ask("enqueue", ["mail"] * 2500)
    assert await asker.ask("job_status", reversed(job_ids)) == [(id, "queued") for id in reversed(job_ids)]


async def test_a_result_is_what_the_handler_returned(asker: Asker, workshop: Workshop) -> None:
    listed = workshop.finish(workshop.add(), result='[1, {"zwei": "å"}, null]')
    nothing = workshop.finish(workshop.add())
    null = workshop.finish(workshop.add(), result="null")
    assert await asker.ask("result", listed) == [1, {"zwei": "å"}, None]
    assert await asker.ask("result", nothing) is None
    assert await asker.ask("result", null) is None


async def test_a_job_that_is_not_done_has_no_result_yet(asker: Asker, workshop: Workshop) -> None:
    job_id = workshop.add()
    with pytest.raises(JobNotFinishedError, match=f"job {job_id} has not ended, it is queued: ") as caught:
        await asker.ask("result", job_id)
    assert (caught.value.job_id, caught.value.status) == (job_id, "queued")
    workshop.retry(job_id)
    workshop.pick(job_id)
    with pytest.raises(JobNotFinishedError, match="it is picked"):
        await asker.ask("result", job_id)


async def test_a_failed_job_answers_with_its_error(asker: Asker, workshop: Workshop) -> None:
    job_id = workshop.fail(workshop.add(), "ValueError: no such account")
    with pytest.raises(JobFailedError, match="ended as exception by ValueError: no such account") as caught:
        await asker.ask("result", job_id)
    assert (caught.value.job_id, caught.value.error) == (job_id, "ValueError: no such account")
    assert caught.value.status == LogStatus.EXCEPTION


async def test_a_canceled_job_has_no_result(asker: Asker, workshop: Workshop) -> None:
    job_id = workshop.add()
    await asker.ask("mark_job_as_cancelled", [job_id])
    with pytest.raises(JobFailedError, match=f"job {job_id} has no result, it ended as canceled"):
        await asker.ask("result", job_id)


async def test_an_unknown_job_is_said_to_be_one(asker: Asker) -> None:
    with pytest.raises(JobNotFoundError, match="has not committed, or was rolled back") as caught:
        await asker.ask("result", NOBODYS_ID)
    assert caught.value.job_id == NOBODYS_ID


async def test_canceling_ends_what_waits_and_asks_what_runs(asker: Asker, workshop: Workshop) -> None:
    queued, picked, done = workshop.add("mail"), workshop.add("letter"), workshop.finish(workshop.add("fax"))
    workshop.pick(picked)
    assert await asker.ask("mark_job_as_cancelled", [picked, queued, done]) == {queued: False, picked: True}
    await asker.commit()
    assert workshop.log(queued).status == "canceled"
    assert workshop.job(picked).cancel_requested


async def test_thousands_of_jobs_may_be_canceled(asker: Asker, workshop: Workshop) -> None:
    job_ids = await asker.ask("enqueue", ["mail"] * 2500)
    assert await asker.ask("mark_job_as_cancelled", job_ids) == dict.fromkeys(job_ids, False)


@pytest.mark.parametrize("method", ["mark_job_as_cancelled", "requeue_jobs", "job_status"])
@pytest.mark.parametrize("no_id", [None, "1", True, 2**63])
async def test_what_is_no_id_is_refused_and_the_transaction_goes_on(
    asker: Asker, workshop: Workshop, method: str, no_id: object
) -> None:
    (job_id,) = await asker.ask("enqueue", "mail")
    with pytest.raises(InvalidJobError, match="a job's id must be an integer of 64 bits"):
        await asker.ask(method, [job_id, no_id])
    await asker.commit()
    assert workshop.job(job_id).status == "queued"
