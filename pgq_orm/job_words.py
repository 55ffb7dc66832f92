"""Job words: how a command tells what became of the jobs that it was given."""

from collections.abc import Iterable, Mapping

from pgq_orm import administration
from pgq_orm.errors import PgqError, RequeueRefusedError
from pgq_orm.steps import Steps


def describe_canceled(ids: Iterable[int], is_running: Mapping[int, bool]) -> str:
    """What `mark_job_as_cancelled` came to, one job in a line."""
    words = {None: "is not to be done", True: "runs, and is asked to stop", False: "is canceled"}
    return "\n".join(f"job {job_id} {words[is_running.get(job_id)]}" for job_id in dict.fromkeys(ids))


def describe_requeued(ids: Iterable[int], requeued: Mapping[int, int]) -> str:
    """What `requeue_jobs` came to, one job in a line."""
    return "\n".join(
        f"job {job_id} "
        + (f"is enqueued again as job {requeued[job_id]}" if job_id in requeued else "is left out")
        for job_id in dict.fromkeys(ids)
    )


def describe_run(job_ids: Mapping[int, int | None]) -> str:
    """What `run_schedule_now` came to, one schedule in a line."""
    return "\n".join(
        f"schedule {schedule_id}: "
        + (
            "left out, the job of a tick before is still to be done"
            if job_id is None
            else f"job {job_id} is enqueued"
        )
        for schedule_id, job_id in job_ids.items()
    )


def requeue(ids: list[int], *, skip_refused: bool) -> Steps[dict[int, int]]:
    """`requeue_jobs`, whose refusals are told in the command's own options."""
    try:
        return (yield from administration.requeue_jobs(ids, on_refused="skip" if skip_refused else "raise"))
    except RequeueRefusedError as error:
        reasons = "".join(f"\n  job {job_id} {reason}" for job_id, reason in error.refusals.items())
        raise PgqError(f"nothing is requeued; --skip-refused leaves out what cannot be:{reasons}") from None
