"""Reports: the queue's own figures are those that one counts by hand."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pgq_orm.errors import InvalidJobError
from pgq_orm.overview import what_failed
from pgq_orm.reports import ActiveWorker, LogStatistics, QueueStatistics
from pgq_orm.statuses import JobStatus, LogStatus
from tests.queries.askers import Asker
from tests.queries.workshop import Workshop

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_the_size_is_counted_by_queue_entrypoint_priority_and_status(
    asker: Asker, workshop: Workshop
) -> None:
    for _ in range(2):
        workshop.add("mail")
    workshop.add("mail", priority=5)
    workshop.add("mail", queue="slow")
    workshop.pick(workshop.add("letter"))
    workshop.finish(workshop.add("fax"))
    assert await asker.ask("queue_size") == [
        QueueStatistics(1, "default", "letter", 0, JobStatus.PICKED),
        QueueStatistics(1, "default", "mail", 5, JobStatus.QUEUED),
        QueueStatistics(2, "default", "mail", 0, JobStatus.QUEUED),
        QueueStatistics(1, "slow", "mail", 0, JobStatus.QUEUED),
    ]


async def test_an_empty_queue_has_no_sizes_and_no_ages(asker: Asker) -> None:
    assert await asker.ask("queue_size") == []
    assert await asker.ask("queue_age") == []


async def test_the_caller_counts_what_its_own_transaction_has_enqueued(
    asker: Asker, workshop: Workshop
) -> None:
    await asker.ask("enqueue", ["mail"] * 3)
    assert [size.count for size in await asker.ask("queue_size")] == [3]
    await asker.rollback()
    assert await asker.ask("queue_size") == []


async def test_the_age_counts_from_when_a_job_was_due(asker: Asker, workshop: Workshop) -> None:
    oldest = workshop.add("mail", execute_after=-timedelta(minutes=30))
    workshop.add("mail", execute_after=-timedelta(minutes=10))
    workshop.add("mail", execute_after=timedelta(minutes=10))
    workshop.pick(workshop.add("letter"))
    (age,) = await asker.ask("queue_age")
    assert (age.queue, age.entrypoint, age.queued_count) == ("default", "mail", 2)
    assert age.oldest_created == workshop.job(oldest).created
    assert age.oldest_age_seconds == pytest.approx(1800, abs=30)
    assert age.avg_age_seconds == pytest.approx(1200, abs=30)


async def test_an_age_is_of_now_and_not_of_when_the_transaction_began(
    asker: Asker, workshop: Workshop
) -> None:
    assert await asker.ask("queue_age") == []
    workshop.add()
    (age,) = await asker.ask("queue_age")
    assert age.oldest_age_seconds > 0


def log(workshop: Workshop, created: datetime, status: str = "successful", retried: bool = False) -> None:
    workshop.connection.execute(
        "INSERT INTO pgq_log"
        " (job_id, created, enqueued, execute_after, priority, attempt, retried, status, queue, entrypoint)"
        " VALUES (1, %(created)s, now(), now(), 0, 1, %(retried)s, %(status)s, 'default', 'mail')",
        {"created": created, "status": status, "retried": retried},
    )


def a_second(count: int, created: datetime, status: LogStatus, retried: bool = False) -> LogStatistics:
    return LogStatistics(count, created, "default", "mail", 0, status, retried)


async def test_the_log_is_counted_by_second_the_latest_first(asker: Asker, workshop: Workshop) -> None:
    for milliseconds in (0, 500, 999, 1000):
        log(workshop, NOON + timedelta(milliseconds=milliseconds))
    log(workshop, NOON, "exception")
    log(workshop, NOON, "exception", retried=True)
    assert await asker.ask("log_statistics") == [
        a_second(1, NOON + timedelta(seconds=1), LogStatus.SUCCESSFUL),
        a_second(1, NOON, LogStatus.EXCEPTION),
        a_second(1, NOON, LogStatus.EXCEPTION, retried=True),
        a_second(3, NOON, LogStatus.SUCCESSFUL),
    ]
    assert await asker.ask("log_statistics", tail=1) == [
        a_second(1, NOON + timedelta(seconds=1), LogStatus.SUCCESSFUL)
    ]


async def test_the_log_is_counted_as_far_back_as_asked(asker: Asker, workshop: Workshop) -> None:
    now = workshop.value("SELECT now()")
    for minutes in (90, 50, 10):
        log(workshop, now - timedelta(minutes=minutes))
    counts = {
        hours: sum(row.count for row in await asker.ask("log_statistics", None, timedelta(hours=hours)))
        for hours in (0, 1, 2)
    }
    assert counts == {0: 0, 1: 2, 2: 3}


async def test_a_number_of_seconds_is_told_what_to_write(asker: Asker) -> None:
    with pytest.raises(
        TypeError, match=r"last must be a timedelta, such as timedelta\(seconds=300\), not 300"
    ):
        await asker.ask("log_statistics", last=300)


async def test_thousands_of_log_rows_are_counted_once_each(asker: Asker, workshop: Workshop) -> None:
    workshop.connection.execute(
        "INSERT INTO pgq_log"
        " (job_id, created, enqueued, execute_after, priority, attempt, status, queue, entrypoint)"
        " SELECT n, now() - make_interval(secs => 10000 - n), now(), now(), 0, 1, 'successful', 'default', 'mail'"
        " FROM generate_series(1, 10000) AS n"
    )
    everything = await asker.ask("log_statistics")
    assert sum(row.count for row in everything) == 10000
    window = await asker.ask("log_statistics", last=timedelta(seconds=5000))
    assert sum(row.count for row in window) == pytest.approx(5000, abs=60)
    assert await asker.ask("log_statistics", last=timedelta.max) == everything


async def test_a_late_commit_in_between_hides_nothing_behind_it(asker: Asker, workshop: Workshop) -> None:
    now = workshop.value("SELECT now()")
    log(workshop, now)
    for _ in range(799):
        log(workshop, now - timedelta(days=1))
    log(workshop, now)
    assert sum(row.count for row in await asker.ask("log_statistics", last=timedelta(hours=1))) == 2


@pytest.mark.parametrize("tail", [0, -1, 2**63])
async def test_an_impossible_tail_is_refused(asker: Asker, tail: int) -> None:
    with pytest.raises(ValueError, match="tail must be at least 1"):
        await asker.ask("log_statistics", tail=tail)


async def test_a_worker_is_active_while_it_beats(asker: Asker, workshop: Workshop) -> None:
    for entrypoint in ("mail", "letter"):
        workshop.pick(workshop.add(entrypoint))
    dead, idle = UUID(int=1), UUID(int=2)
    workshop.register(dead)
    workshop.register(idle)
    workshop.connection.execute(
        "UPDATE pgq_worker SET heartbeat = now() - interval '31 s' WHERE id = %s", [dead]
    )
    workers = await asker.ask("active_workers")
    assert [(worker.id, worker.active_jobs) for worker in workers] == [(workshop.worker_id, 2), (idle, 0)]
    started, heartbeat = workshop.row("SELECT created, heartbeat FROM pgq_worker WHERE id = %s", idle)
    assert workers[1] == ActiveWorker(idle, "here", 1, ("default",), ("mail",), started, heartbeat, 0)


async def test_a_job_that_failed_is_listed_with_all_that_is_known(asker: Asker, workshop: Workshop) -> None:
    job_id = workshop.add(
        "mail",
        b"\x00",
        arguments={"to": 1},
        headers={"trace": "å"},
        priority=3,
        dedupe_key="a",
        max_attempts=2,
    )
    created = workshop.job(job_id).created
    workshop.retry(job_id)
    workshop.fail(job_id, "ValueError: no")
    (failed,) = await asker.ask("list_failed_jobs")
    assert (failed.id, failed.log_id, failed.failed) == (
        job_id,
        workshop.log(job_id).id,
        workshop.log(job_id).created,
    )
    assert (failed.created, failed.priority, failed.attempts) == (created, 3, 2)
    assert (failed.queue, failed.entrypoint) == ("default", "mail")
    assert (failed.error, failed.traceback) == ("ValueError: no", "trace of ValueError: no")
    assert (failed.payload, failed.arguments, failed.headers) == (b"\x00", {"to": 1}, {"trace": "å"})
    assert (failed.dedupe_key, failed.schedule_id, failed.workflow_id) == ("a", None, None)


async def test_a_failed_job_that_python_cannot_read_hides_no_other(asker: Asker, workshop: Workshop) -> None:
    failed = [workshop.fail(workshop.add()) for _ in range(2)]
    workshop.value(
        "UPDATE pgq_log SET arguments = '{\"n\": 1e5000}' WHERE job_id = %s RETURNING job_id", failed[0]
    )
    readable, unreadable = listed = await asker.ask("list_failed_jobs")
    assert str(failed[0]) in what_failed(listed).as_json()
    assert [readable.id, unreadable.id] == [failed[1], failed[0]]
    with pytest.raises(InvalidJobError, match="the job holds JSON that Python cannot read"):
        _ = unreadable.arguments["n"]


async def test_only_jobs_that_failed_for_good_are_listed(asker: Asker, workshop: Workshop) -> None:
    workshop.retry(workshop.add("to be retried"))
    workshop.finish(workshop.add("done"))
    workshop.finish(workshop.add("canceled"), LogStatus.CANCELED)
    failed = workshop.fail(workshop.add("failed"))
    assert [job.id for job in await asker.ask("list_failed_jobs")] == [failed]


async def test_failed_jobs_come_a_page_at_a_time_the_latest_first(asker: Asker, workshop: Workshop) -> None:
    failed = [workshop.fail(workshop.add()) for _ in range(5)]
    pages, after = [], None
    while page := await asker.ask("list_failed_jobs", 2, after=after):
        pages.append([job.id for job in page])
        after = page[-1].log_id
    assert pages == [[failed[4], failed[3]], [failed[2], failed[1]], [failed[0]]]


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_page_has_a_reasonable_length(asker: Asker, limit: int) -> None:
    with pytest.raises(ValueError, match="limit must be 1 to 1000"):
        await asker.ask("list_failed_jobs", limit)


async def test_a_page_comes_after_a_row_of_the_log(asker: Asker) -> None:
    with pytest.raises(ValueError, match="after must be the log_id of a job in the list"):
        await asker.ask("list_failed_jobs", after=2**63)
