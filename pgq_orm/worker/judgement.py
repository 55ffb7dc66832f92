"""Judgement: what an attempt came to. Pure: from how the handler ended to what is written."""

import traceback
from dataclasses import dataclass

from pgq_orm.errors import in_one_line
from pgq_orm.models import Job
from pgq_orm.operations.endings import Ended, FailedAttempt, Outcome, Release, Settled
from pgq_orm.outcomes import Cancel, Fail, HandlerVerdict, RetryRequested, Snooze
from pgq_orm.registry import Entrypoint
from pgq_orm.retries import Backoff
from pgq_orm.statuses import LogStatus
from pgq_orm.storable import LONGEST_DELAY, dump_json

ERROR_CHARACTERS = 1_000
TRACEBACK_CHARACTERS = 20_000

# Not frozen: every attempt makes two of them, and the frost would take twice as long.


@dataclass(slots=True)
class Returned:
    """The handler returned."""

    value: object


@dataclass(slots=True)
class Raised:
    """The handler raised, whatever it was."""

    error: BaseException


@dataclass(slots=True)
class Timing:
    """When the handler ran, in seconds: how long after its pick, and for how long."""

    wait_seconds: float
    duration_seconds: float


def judge(
    job: Job, entrypoint: Entrypoint, ending: Returned | Raised, timing: Timing, *, is_canceled: bool
) -> Ended:
    """How the attempt ended. A request to cancel that reached the handler decides, whatever the handler made of it.

    If that cannot be found out, the attempt ends in any case, as failed for good: by what the handler raised, if it
    did, with a note of what stood in the way.
    """
    try:
        return _judge(job, entrypoint, ending, timing, is_canceled)
    except BaseException as error:  # an exception class of the application's own that cannot even be compared
        if isinstance(ending, Returned):
            return failed(job, error, timing)
        ending.error.add_note(f"(what becomes of the job could not be found out: {in_one_line(error)})")
        return failed(job, ending.error, timing)


def _judge(
    job: Job, entrypoint: Entrypoint, ending: Returned | Raised, timing: Timing, is_canceled: bool
) -> Ended:
    if is_canceled:
        error = ending.error if isinstance(ending, Raised) else None
        return _ended(job, LogStatus.CANCELED, timing, error=None if error is None else _error(error))
    match ending:
        case Returned(HandlerVerdict() as verdict) | Raised(HandlerVerdict() as verdict):
            return _obeyed(job, entrypoint, verdict, timing)
        case Raised(error):
            return _judge_failure(job, entrypoint, error, timing)
        case Returned(value):
            return _ended(job, LogStatus.SUCCESSFUL, timing, result=_result(value))


def failed(job: Job, error: BaseException, timing: Timing) -> Outcome:
    """The end of a job that is not run again, whatever its retry policy says."""
    return _ended(job, LogStatus.EXCEPTION, timing, error=_error(error), trace=_traceback(error))


def in_words(ended: Ended) -> str:
    """The rest of the sentence "job 7 …"."""
    match ended:
        case FailedAttempt(error=error, delay_seconds=delay):
            return f"failed and is run again in {delay:.1f} s: {error}"
        case Release(delay_seconds=delay):
            return f"is snoozed for {delay:.1f} s"
        case Outcome(status=LogStatus.CANCELED, error=error):
            return f"was canceled: {error}" if error else "was canceled"
        case Outcome(status=LogStatus.SUCCESSFUL) | Settled():
            return "is done"
        case Outcome(error=error):
            return f"failed: {error}"


def _obeyed(job: Job, entrypoint: Entrypoint, verdict: HandlerVerdict, timing: Timing) -> Ended:
    match verdict:
        case Snooze(delay=delay):
            return Release(job.id, job.lease, _within_limits(delay.total_seconds()))
        case Cancel(reason=reason):
            return _ended(job, LogStatus.CANCELED, timing, error=_clean(reason))
        case Fail(error=error):
            return failed(job, error, timing)
        case RetryRequested(delay=delay):
            failures = job.attempts + 1
            if entrypoint.retries.grants_request(failures=failures, max_attempts=job.max_attempts):
                return _again(job, verdict, timing, _delay_seconds(entrypoint, verdict, failures))
    return failed(job, verdict, timing)


def _judge_failure(job: Job, entrypoint: Entrypoint, error: BaseException, timing: Timing) -> Ended:
    if isinstance(error, BaseExceptionGroup) and (requests := _retry_requests(error)):
        # a TaskGroup whose tasks all asked for a retry: the longest delay suits all of them
        failures = job.attempts + 1
        longest = max(requests, key=lambda request: _delay_seconds(entrypoint, request, failures))
        return _obeyed(job, entrypoint, longest, timing)
    failures = job.attempts + 1
    if entrypoint.retries.grants(error, failures=failures, max_attempts=job.max_attempts):
        return _again(job, error, timing, _backoff_seconds(entrypoint, error, failures))
    return failed(job, error, timing)


def _retry_requests(group: BaseExceptionGroup[BaseException]) -> list[RetryRequested]:
    """The requests that the group consists of; none if there is anything else in it."""
    requests: list[RetryRequested] = []
    for error in group.exceptions:
        found = _retry_requests(error) if isinstance(error, BaseExceptionGroup) else [error]
        if not found or not all(isinstance(each, RetryRequested) for each in found):
            return []
        requests += [each for each in found if isinstance(each, RetryRequested)]
    return requests


def _delay_seconds(entrypoint: Entrypoint, request: RetryRequested, failures: int) -> float:
    if request.delay is None:
        return _backoff_seconds(entrypoint, request, failures)
    return request.delay.total_seconds()


def _backoff_seconds(entrypoint: Entrypoint, error: BaseException, failures: int) -> float:
    """The delay that the entrypoint's backoff says; the default one's if that, being the application's, fails.

    Neither the attempts that are left nor the handler's error, which is given a note, are lost for that.
    """
    try:
        return float(entrypoint.retries.backoff.delay_seconds(failures))
    except Exception as fault:
        error.add_note(
            f"(the backoff of {entrypoint.name!r} failed, so the default one is used: {in_one_line(fault)})"
        )
        return Backoff().delay_seconds(failures)


def _again(job: Job, error: BaseException, timing: Timing, delay_seconds: float) -> FailedAttempt:
    return FailedAttempt(
        job.id,
        job.lease,
        _within_limits(delay_seconds),
        timing.duration_seconds,
        _error(error),
        _traceback(error),
    )


def _within_limits(delay_seconds: float) -> float:
    return min(max(0.0, delay_seconds), LONGEST_DELAY.total_seconds())


def _ended(
    job: Job,
    status: LogStatus,
    timing: Timing,
    *,
    result: str | None = None,
    error: str | None = None,
    trace: str | None = None,
) -> Outcome:
    return Outcome(
        job.id, job.lease, status, timing.wait_seconds, timing.duration_seconds, result, error, trace
    )


def _result(value: object) -> str | None:
    if value is None:
        return None
    try:
        return dump_json(value)
    except Exception:  # ValueError, or whatever a class of the handler's own raises
        return None  # a handler may return what it likes; what JSON cannot express is not kept


def _error(error: BaseException) -> str:
    return _clean(in_one_line(error))[:ERROR_CHARACTERS]


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error)
    except Exception as fault:  # an exception class of the application's own that cannot even be told
        lines = [f"(no traceback: {in_one_line(fault)})"]
    return _clean("".join(lines))[-TRACEBACK_CHARACTERS:]


def _clean(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
