"""Administration: what applications and people ask of the queue besides enqueueing, as steps that join a transaction.

Questions are for people and their dashboards: none is asked by a worker, and each says what it costs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from pgq_orm import operations, storable
from pgq_orm.durations import require_duration, seconds_in
from pgq_orm.errors import (
    JobNotFinishedError,
    JobNotFoundError,
    RequeueRefusedError,
    UnknownScheduleError,
)
from pgq_orm.operations import Operation, Row
from pgq_orm.operations.jobs import read_json
from pgq_orm.reports import (
    ActiveWorker,
    Completion,
    FailedJob,
    JobIdStatus,
    JsonValue,
    LogStatistics,
    QueueAgeStats,
    QueueStatistics,
    ScheduleState,
)
from pgq_orm.sql import statement
from pgq_orm.statuses import JobStatus, LogStatus, read_status
from pgq_orm.steps import Steps, ask

T = TypeVar("T")
OnRefused: TypeAlias = Literal["raise", "skip"]
Schedules: TypeAlias = int | str | Iterable[int | str]
"""A schedule's id, or an entrypoint, which stands for all of its schedules; or several of these."""

BATCH = 1000
"""How many ids or names one statement is given at the most."""
LONGEST_PAGE = 1000
"""How many failed jobs one call answers at the most: each may bring a payload and a traceback."""

_BIGINT = range(-(2**63), 2**63)


# Jobs


def mark_job_as_cancelled(ids: int | Iterable[int]) -> Steps[dict[int, bool]]:
    """Cancels jobs: one that waits ends at once, a running one is asked to stop.

    Answers, for each job that was still to be done, whether it is running.
    """
    running: dict[int, bool] = {}
    for batch in _batches(_ids(ids)):
        running |= yield from ask(operations.cancel(batch))
    return running


def requeue_jobs(
    ids: int | Iterable[int], *, on_refused: OnRefused = "raise", force: bool = False
) -> Steps[dict[int, int]]:
    """Enqueues jobs that have ended again, each as a new job that is due now; answers the new id of each old one.

    The new job has what the old one had: queue, priority, payload, arguments, headers, limits and `dedupe_key`.
    In a workflow it takes the old one's place: what waits for the old one waits for it, and it waits for those of its
    parents that are still to be done. Refused is a job that was requeued before, unless with `force`, because the job
    by which it was run again stands for it since, to be requeued in its turn if it failed; one that is still to be
    done; one whose `dedupe_key` (a job without one is given one) is held by such a job, or by another one of these;
    one that is unknown; and one that succeeded, unless it was enqueued without payload, arguments and headers, because
    these are kept of what did not succeed. A refusal is a RequeueRefusedError and nothing is requeued;
    `on_refused="skip"` leaves such jobs out.
    """
    if on_refused not in ("raise", "skip"):
        raise ValueError(f"on_refused must be 'raise' or 'skip', not {on_refused!r}")
    answers: list[_Requeued] = []
    for batch in _batches(_ids(ids)):
        answers += yield from ask(Operation(statement("requeue"), {"ids": batch, "force": force}, _requeued))
    requeued = {answer.id: answer.new_id for answer in answers if answer.new_id is not None}
    refusals = {answer.id: _why(answer) for answer in answers if answer.refusal is not None}
    if refusals and on_refused == "raise":
        for done in _batches([answer for answer in answers if answer.new_id is not None]):
            params = {
                "ids": [answer.id for answer in done],
                "new_ids": [answer.new_id for answer in done],
                "run_as": [answer.run_as for answer in done],
            }
            yield from ask(Operation(statement("unrequeue"), params, _nothing))
        raise RequeueRefusedError(refusals)
    return requeued


def job_status(ids: int | Iterable[int]) -> Steps[list[JobIdStatus]]:
    """The status of each job: `waiting`, `queued`, `picked`, or how it ended: `successful`, `exception`, `canceled`.

    In the order asked for; a job that is not to be found is left out. Found by index, whatever the backlog and the log.
    """
    wanted = _ids(ids)
    found: dict[int, JobStatus | LogStatus] = {}
    for batch in _batches(wanted):
        found |= yield from ask(Operation(statement("read_statuses"), {"ids": batch}, _status_by_id))
    return [(job_id, found[job_id]) for job_id in wanted if job_id in found]


def result(job_id: int) -> Steps[JsonValue]:
    """What the job's handler returned, None if that was nothing or no JSON.

    Raises JobNotFinishedError while the job is to be done, JobFailedError if it failed or was canceled, and
    JobNotFoundError. Found by index.
    """
    found = yield from read_outcomes([job_id])
    match found.get(job_id):
        case Completion() as completion:
            return completion.result
        case JobStatus() as status:
            raise JobNotFinishedError(job_id, status)
        case None:
            raise JobNotFoundError(job_id)


def read_outcomes(ids: int | Iterable[int]) -> Steps[dict[int, JobStatus | Completion]]:
    """What came of each job that has ended, and the status of those that have not; unknown ones are left out."""
    found: dict[int, JobStatus | Completion] = {}
    for batch in _batches(_ids(ids)):
        found |= yield from ask(Operation(statement("read_outcomes"), {"ids": batch}, _outcome_by_id))
    return found


def list_failed_jobs(limit: int = 100, *, after: int | None = None) -> Steps[list[FailedJob]]:
    """The jobs that ended as `exception`, the latest first; those of retries that are still to come are not among them.

    Nor is one that was requeued: the job by which it was run again is, if that one fails too.
    At most `limit` (up to 1000), then call again with the last one's `log_id` as `after`. Walks along an index of
    failures only.
    """
    if not 1 <= limit <= LONGEST_PAGE:
        raise ValueError(
            f"limit must be 1 to {LONGEST_PAGE}, not {limit!r}: page on with after=jobs[-1].log_id"
        )
    if after is not None and after not in _BIGINT:
        raise ValueError(f"after must be the log_id of a job in the list, not {after!r}")
    params = {"limit": limit, "after": after}
    return (yield from ask(Operation(statement("read_failed"), params, _failed_jobs)))


# The queue and its log


def queue_size() -> Steps[list[QueueStatistics]]:
    """How many jobs are still to be done, by queue, entrypoint, priority and status.

    Costs a read of the whole backlog: for a look now and then, not for a loop.
    """
    return (yield from ask(Operation(statement("read_sizes"), {}, _queue_statistics)))


def queue_age() -> Steps[list[QueueAgeStats]]:
    """How long the jobs of each entrypoint have been waiting that could run now; deferred ones are not counted.

    Costs a read of the whole backlog: for a look now and then, not for a loop.
    """
    return (yield from ask(Operation(statement("read_ages"), {}, _queue_ages)))


def log_statistics(tail: int | None = None, last: timedelta | None = None) -> Steps[list[LogStatistics]]:
    """How many attempts ended, by second, queue, entrypoint, priority and status; the latest seconds first.

    At most `tail` rows, and of no more than the `last` while. Costs a read of the log rows of that time; of the whole
    log without `last`. What a transaction ends counts for when it began: if one from before that time clears
    thousands of jobs at once, what was logged before its rows is not counted.
    """
    if tail is not None and not 1 <= tail < _BIGINT.stop:
        raise ValueError(f"tail must be at least 1, or None for all, not {tail!r}")
    if last is not None:
        last = min(require_duration("last", last), storable.LONGEST_DELAY)
    params = {"tail": tail, "last_seconds": seconds_in("last", last)}
    return (yield from ask(Operation(statement("read_statistics"), params, _log_statistics)))


def active_workers() -> Steps[list[ActiveWorker]]:
    """The worker processes whose heartbeat is young enough, and how many jobs each runs.

    Costs a read of the jobs that run, not of those that wait.
    """
    return (yield from ask(Operation(statement("read_workers"), {}, _active_workers)))


def clear_queue(entrypoint: str | Iterable[str] | None = None) -> Steps[int]:
    """Cancels every job that no worker has picked, of these entrypoints or of all; answers how many.

    Each gets its log row, `canceled`, from which `requeue_jobs` brings it back; what runs goes on. Costs one statement
    that reads the backlog and writes as many log rows: some five seconds for a million jobs.
    """
    return (yield from _clear("clear_queue", entrypoint))


def clear_queue_log(entrypoint: str | Iterable[str] | None = None) -> Steps[int]:
    """Deletes the log rows of these entrypoints, or of all, with the results in them; answers how many.

    Reads the whole log. Not needed to keep it small: workers remove what is older than their `log_retention`.
    """
    return (yield from _clear("clear_log", entrypoint))


# Schedules


def fetch_schedules() -> Steps[list[ScheduleState]]:
    """Every schedule in the database, by entrypoint and expression."""
    return (yield from ask(Operation(statement("list_schedules"), {}, _schedule_states)))


def pause_schedule(schedule: Schedules) -> Steps[list[int]]:
    """Lets schedules rest until they are resumed, across restarts too; answers their ids.

    Workers wait for the caller's transaction before they fire these schedules: commit soon.
    Raises UnknownScheduleError before anything is changed.
    """
    return (yield from _set_paused(schedule, True))


def resume_schedule(schedule: Schedules) -> Steps[list[int]]:
    """Lets schedules fire again, within a minute; answers their ids.

    What their `catch_up` says of missed ticks holds for those that passed meanwhile. Otherwise like `pause_schedule`.
    """
    return (yield from _set_paused(schedule, False))


def run_schedule_now(schedule: Schedules) -> Steps[dict[int, int | None]]:
    """Enqueues the job of a schedule beside its ticks, even while it is paused; answers the job's id by schedule.

    None where the job of a tick before is still to be done: a schedule never overlaps with itself. The next tick stays
    where it is. Otherwise like `pause_schedule`.
    """
    ids = yield from _schedule_ids(schedule)
    return (yield from ask(Operation(statement("run_schedules"), {"ids": ids}, _job_id_by_schedule)))


def delete_schedule(schedule: Schedules) -> Steps[list[int]]:
    """Removes schedules; answers their ids. Their jobs stay; a worker whose application still declares them adds them
    again when it starts. Otherwise like `pause_schedule`.
    """
    ids = yield from _schedule_ids(schedule)
    return (yield from ask(Operation(statement("delete_schedules"), {"ids": ids}, _first_column)))


def _set_paused(schedule: Schedules, paused: bool) -> Steps[list[int]]:
    ids = yield from _schedule_ids(schedule)
    params = {"ids": ids, "paused": paused}
    return (yield from ask(Operation(statement("pause_schedules"), params, _first_column)))


def _schedule_ids(wanted: Schedules) -> Steps[list[int]]:
    """The ids of the schedules that are meant. Raises UnknownScheduleError."""
    known = yield from fetch_schedules()
    ids: dict[int, None] = {}
    for key in [wanted] if isinstance(wanted, int | str) else wanted:
        meant = [schedule.id for schedule in known if key in (schedule.id, schedule.entrypoint)]
        if not meant:
            raise UnknownScheduleError(key, (schedule.entrypoint for schedule in known))
        ids |= dict.fromkeys(meant)
    return list(ids)


# Parameters


def _ids(given: int | Iterable[int]) -> list[int]:
    """Each id once, in the order given."""
    ids = list(dict.fromkeys([given] if isinstance(given, int) else given))
    for job_id in ids:
        storable.check_id(job_id)
    return ids


def _batches(values: Sequence[T]) -> Iterator[list[T]]:
    return (list(values[start : start + BATCH]) for start in range(0, len(values), BATCH))


def _clear(name: str, entrypoint: str | Iterable[str] | None) -> Steps[int]:
    if entrypoint is None:
        return (yield from ask(Operation(statement(name), {"entrypoints": None}, _count)))
    entrypoints = list(dict.fromkeys([entrypoint] if isinstance(entrypoint, str) else entrypoint))
    for value in entrypoints:
        storable.check("entrypoint", value)
    cleared = 0
    for batch in _batches(entrypoints):
        cleared += yield from ask(Operation(statement(name), {"entrypoints": batch}, _count))
    return cleared


# Reading


class _Requeued(NamedTuple):
    id: int
    new_id: int | None
    refusal: str | None
    run_as: int | None
    """The last of the jobs by which it was run again before."""
    run_status: str | None


_REFUSALS: Mapping[str, str] = {
    "unknown": "is not to be found",
    "unfinished": "is still to be done",
    "not kept": "succeeded, and what it was given is not kept: enqueue it anew",
    "twin": "stands for the same work as another one of these, by its dedupe_key: requeue one of the two",
    "again": "was enqueued again, as a job that is still to be done",
    "run again": "was enqueued again",
    "duplicate": "has the dedupe_key of a job that is still to be done",
}


_RUN_AGAIN: Mapping[str, str] = {
    JobStatus.WAITING: "which is still to be done",
    JobStatus.QUEUED: "which is still to be done",
    JobStatus.PICKED: "which is still to be done",
    LogStatus.SUCCESSFUL: "which succeeded",
    LogStatus.EXCEPTION: "which failed, too: requeue that one",
    LogStatus.CANCELED: "which was canceled: requeue that one",
}


def _why(answer: _Requeued) -> str:
    reason = _REFUSALS[answer.refusal or ""]
    if answer.refusal != "run again":
        return reason
    # no status: what it became is told by a log row that was removed, or by one too young for the statement to see
    known = f", {_RUN_AGAIN[answer.run_status]}" if answer.run_status else ""
    return f"{reason}, as job {answer.run_as}{known}"


def _nothing(rows: Sequence[Row]) -> None:
    return None


def _count(rows: Sequence[Row]) -> int:
    return int(rows[0][0])


def _first_column(rows: Sequence[Row]) -> list[Any]:
    return [row[0] for row in rows]


def _requeued(rows: Sequence[Row]) -> list[_Requeued]:
    return [_Requeued(*row) for row in rows]


def _status_by_id(rows: Sequence[Row]) -> dict[int, JobStatus | LogStatus]:
    return {job_id: read_status(word) for job_id, word in rows}


def _outcome_by_id(rows: Sequence[Row]) -> dict[int, JobStatus | Completion]:
    outcomes: dict[int, JobStatus | Completion] = {}
    for job_id, word, value, error in rows:
        status = read_status(word)
        outcomes[job_id] = (
            status if isinstance(status, JobStatus) else Completion(job_id, status, value, error)
        )
    return outcomes


def _failed_jobs(rows: Sequence[Row]) -> list[FailedJob]:
    return [_failed_job(list(row)) for row in rows]


_ARGUMENTS, _HEADERS = 11, 12  # where read_failed.sql answers them


def _failed_job(values: list[Any]) -> FailedJob:
    values[_ARGUMENTS] = read_json(values[_ARGUMENTS])
    values[_HEADERS] = read_json(values[_HEADERS])
    return FailedJob(*values)


def _queue_statistics(rows: Sequence[Row]) -> list[QueueStatistics]:
    return [
        QueueStatistics(count, queue, entrypoint, priority, JobStatus(status))
        for count, queue, entrypoint, priority, status in rows
    ]


def _queue_ages(rows: Sequence[Row]) -> list[QueueAgeStats]:
    return [QueueAgeStats(*row) for row in rows]


def _log_statistics(rows: Sequence[Row]) -> list[LogStatistics]:
    return [
        LogStatistics(count, second, queue, entrypoint, priority, LogStatus(status), retried)
        for count, second, queue, entrypoint, priority, status, retried in rows
    ]


def _active_workers(rows: Sequence[Row]) -> list[ActiveWorker]:
    return [
        ActiveWorker(id, hostname, pid, tuple(queues), tuple(entrypoints), *rest)
        for id, hostname, pid, queues, entrypoints, *rest in rows
    ]


def _schedule_states(rows: Sequence[Row]) -> list[ScheduleState]:
    return [ScheduleState(*row) for row in rows]


def _job_id_by_schedule(rows: Sequence[Row]) -> dict[int, int | None]:
    return {row[0]: row[1] for row in rows}
