"""Administration: what one asks of the queue besides enqueueing, in the caller's own transaction.

`pgq_orm.administration` says of each function what it answers, what it costs and what it raises. Everything runs on
this thread's connection to the database `using`, which the routers choose if the caller does not. What changes several
rows changes all of them or none, inside `transaction.atomic()` or without it.
"""

from collections.abc import Iterable
from datetime import timedelta

from pgq_orm import administration
from pgq_orm.administration import OnRefused, Schedules
from pgq_orm.reports import (
    ActiveWorker,
    FailedJob,
    JobIdStatus,
    JsonValue,
    LogStatistics,
    QueueAgeStats,
    QueueStatistics,
    ScheduleState,
)
from pgq_orm_django.databases import default_alias
from pgq_orm_django.statements import carry_out, carry_out_whole
from pgq_orm_django.twins import awaited

# Jobs


def cancel(job_ids: int | Iterable[int], *, using: str | None = None) -> dict[int, bool]:
    """Cancels jobs: one that waits ends at once, a running one is asked to stop.

    Answers, for each job that was still to be done, whether it is running. Part of the caller's transaction.
    """
    return carry_out_whole(administration.mark_job_as_cancelled(job_ids), using or default_alias())


def requeue_jobs(
    job_ids: int | Iterable[int],
    *,
    on_refused: OnRefused = "raise",
    force: bool = False,
    using: str | None = None,
) -> dict[int, int]:
    """Enqueues jobs that have ended again; answers the new id of each old one.

    Raises RequeueRefusedError and requeues none if one of them cannot be; `on_refused="skip"` leaves such jobs out. One
    that was requeued before can be requeued only with `force`.
    """
    steps = administration.requeue_jobs(job_ids, on_refused=on_refused, force=force)
    return carry_out_whole(steps, using or default_alias())


def job_status(job_ids: int | Iterable[int], *, using: str | None = None) -> list[JobIdStatus]:
    """The status of each job, in the order asked for; unknown ones are left out."""
    return carry_out(administration.job_status(job_ids), using or default_alias())


def result(job_id: int, *, using: str | None = None) -> JsonValue:
    """What a job's handler returned.

    Raises JobNotFinishedError, JobFailedError and JobNotFoundError.
    """
    return carry_out(administration.result(job_id), using or default_alias())


def list_failed_jobs(
    limit: int = 100, *, after: int | None = None, using: str | None = None
) -> list[FailedJob]:
    """The jobs that ended as `exception` and were not requeued, the latest first, a page at a time.

    `Log.objects.failed()` are the same, as rows.
    """
    return carry_out(administration.list_failed_jobs(limit, after=after), using or default_alias())


# The queue and its log


def queue_size(*, using: str | None = None) -> list[QueueStatistics]:
    """How many jobs are still to be done, by queue, entrypoint, priority and status. Reads the whole backlog."""
    return carry_out(administration.queue_size(), using or default_alias())


def queue_age(*, using: str | None = None) -> list[QueueAgeStats]:
    """How long the jobs of each entrypoint have been waiting that could run now. Reads the whole backlog."""
    return carry_out(administration.queue_age(), using or default_alias())


def log_statistics(
    tail: int | None = None, last: timedelta | None = None, *, using: str | None = None
) -> list[LogStatistics]:
    """How many attempts ended, by second, queue, entrypoint, priority and status. Reads the log rows of that time."""
    return carry_out(administration.log_statistics(tail, last), using or default_alias())


def active_workers(*, using: str | None = None) -> list[ActiveWorker]:
    """The worker processes that live, and how many jobs each runs."""
    return carry_out(administration.active_workers(), using or default_alias())


def clear_queue(entrypoint: str | Iterable[str] | None = None, *, using: str | None = None) -> int:
    """Cancels every job that no worker has picked, of these entrypoints or of all; answers how many."""
    return carry_out_whole(administration.clear_queue(entrypoint), using or default_alias())


def clear_queue_log(entrypoint: str | Iterable[str] | None = None, *, using: str | None = None) -> int:
    """Deletes the log rows of these entrypoints, or of all, with the results in them; answers how many."""
    return carry_out_whole(administration.clear_queue_log(entrypoint), using or default_alias())


# Schedules


def fetch_schedules(*, using: str | None = None) -> list[ScheduleState]:
    """Every schedule in the database, as a frozen value."""
    return carry_out(administration.fetch_schedules(), using or default_alias())


def pause_schedule(schedule: Schedules, *, using: str | None = None) -> list[int]:
    """Lets schedules rest until they are resumed; answers their ids. Raises UnknownScheduleError."""
    return carry_out_whole(administration.pause_schedule(schedule), using or default_alias())


def resume_schedule(schedule: Schedules, *, using: str | None = None) -> list[int]:
    """Lets schedules fire again, within a minute; answers their ids. Raises UnknownScheduleError."""
    return carry_out_whole(administration.resume_schedule(schedule), using or default_alias())


def run_schedule_now(schedule: Schedules, *, using: str | None = None) -> dict[int, int | None]:
    """Enqueues the job of a schedule beside its ticks; answers the job's id by schedule.

    None where the job of a tick before is still to be done. Raises UnknownScheduleError.
    """
    return carry_out_whole(administration.run_schedule_now(schedule), using or default_alias())


def delete_schedule(schedule: Schedules, *, using: str | None = None) -> list[int]:
    """Removes schedules; answers their ids. Raises UnknownScheduleError."""
    return carry_out_whole(administration.delete_schedule(schedule), using or default_alias())


acancel = awaited(cancel)
arequeue_jobs = awaited(requeue_jobs)
ajob_status = awaited(job_status)
aresult = awaited(result)
alist_failed_jobs = awaited(list_failed_jobs)
aqueue_size = awaited(queue_size)
aqueue_age = awaited(queue_age)
alog_statistics = awaited(log_statistics)
aactive_workers = awaited(active_workers)
aclear_queue = awaited(clear_queue)
aclear_queue_log = awaited(clear_queue_log)
afetch_schedules = awaited(fetch_schedules)
apause_schedule = awaited(pause_schedule)
aresume_schedule = awaited(resume_schedule)
arun_schedule_now = awaited(run_schedule_now)
adelete_schedule = awaited(delete_schedule)
