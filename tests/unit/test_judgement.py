"""Judgement: what an attempt came to, by how its handler ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgq_orm.models import Job
from pgq_orm.operations.endings import Ended, FailedAttempt, Outcome, Release
from pgq_orm.outcomes import Cancel, Retry, RetryRequested, Snooze
from pgq_orm.registry import Entrypoint, HandlerOptions, Registry
from pgq_orm.retries import Backoff
from pgq_orm.statuses import JobStatus
from pgq_orm.storable import LONGEST_DELAY
from pgq_orm.worker.judgement import Raised, Returned, Timing, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TIMING = Timing(0.5, 2.0)
STEADY = Backoff(initial=timedelta(seconds=3), factor=2, jitter=0)


def job(**values: Any) -> Job:
    fields: dict[str, Any] = {
        "id": 7,
        "lease": 3,
        "created": NOW,
        "updated": NOW,
        "execute_after": NOW,
        "priority": 0,
        "attempts": 0,
        "status": JobStatus.PICKED,
        "queue": "default",
        "entrypoint": "mail",
    }
    return Job(**(fields | values))


def entrypoint(options: HandlerOptions) -> Entrypoint:
    registry = Registry()
    registry.entrypoint("mail", **options)(lambda job: None)
    return registry.entrypoints["mail"]


def judged(
    ending: Returned | Raised,
    options: HandlerOptions | None = None,
    *,
    is_canceled: bool = False,
    **values: Any,
) -> Ended:
    return judge(job(**values), entrypoint(options or {}), ending, TIMING, is_canceled=is_canceled)


def test_a_returned_value_is_the_result() -> None:
    assert judged(Returned({"sent": 1})) == Outcome(7, 3, "successful", 0.5, 2.0, '{"sent":1}')
    assert judged(Returned(None)) == Outcome(7, 3, "successful", 0.5, 2.0)


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", "\0", {1, 2}])
def test_a_value_that_is_no_json_is_not_kept_and_does_no_harm(value: object) -> None:
    assert judged(Returned(value)) == Outcome(7, 3, "successful", 0.5, 2.0)


def test_an_exception_ends_the_job_unless_attempts_are_left() -> None:
    ended = judged(Raised(ValueError("bad")))
    assert isinstance(ended, Outcome)
    assert (ended.status, ended.error) == ("exception", "ValueError: bad")
    assert ended.traceback is not None
    assert "ValueError: bad" in ended.traceback


def test_delays_grow_with_each_failure_until_no_attempt_is_left() -> None:
    options: HandlerOptions = {"max_attempts": 3, "backoff": STEADY}
    first = judged(Raised(ValueError()), options)
    second = judged(Raised(ValueError()), options, attempts=1)
    third = judged(Raised(ValueError()), options, attempts=2)
    assert isinstance(first, FailedAttempt)
    assert isinstance(second, FailedAttempt)
    assert (first.delay_seconds, second.delay_seconds) == (3.0, 6.0)
    assert isinstance(third, Outcome)


def test_the_jobs_own_limit_comes_before_the_entrypoints() -> None:
    assert isinstance(judged(Raised(ValueError()), {"max_attempts": 9}, max_attempts=1), Outcome)
    assert isinstance(judged(Raised(ValueError()), max_attempts=2), FailedAttempt)


def test_only_the_exceptions_named_are_tried_again() -> None:
    options: HandlerOptions = {
        "max_attempts": 3,
        "retry_on": (OSError, ValueError),
        "dont_retry_on": (FileNotFoundError,),
    }
    assert isinstance(judged(Raised(ConnectionError()), options), FailedAttempt)
    assert isinstance(judged(Raised(FileNotFoundError()), options), Outcome)
    assert isinstance(judged(Raised(KeyError()), options), Outcome)


def test_the_end_of_a_program_is_no_reason_to_try_again() -> None:
    assert isinstance(judged(Raised(SystemExit(1)), {"max_attempts": 3}), Outcome)


@pytest.mark.parametrize("ending", [Returned, Raised])
def test_a_request_to_retry_may_be_returned_or_raised(ending: Any) -> None:
    ended = judged(ending(Retry(timedelta(seconds=20), "busy")))
    assert isinstance(ended, FailedAttempt)
    assert (ended.delay_seconds, ended.error) == (20.0, "RetryRequested: busy")


def test_a_request_to_retry_is_granted_without_end_unless_a_limit_is_set() -> None:
    request = Raised(RetryRequested(timedelta(seconds=1)))
    assert isinstance(judged(request, attempts=99), FailedAttempt)
    assert isinstance(judged(request, {"max_attempts": 2}, attempts=1), Outcome)
    assert isinstance(judged(request, attempts=1, max_attempts=2), Outcome)


def test_a_request_without_a_delay_takes_the_entrypoints_backoff() -> None:
    ended = judged(Raised(RetryRequested()), {"backoff": STEADY}, attempts=1)
    assert isinstance(ended, FailedAttempt)
    assert ended.delay_seconds == 6.0


def test_a_group_of_requests_waits_for_the_longest_delay() -> None:
    group = BaseExceptionGroup(
        "tasks",
        [
            RetryRequested(timedelta(seconds=1)),
            BaseExceptionGroup("more", [RetryRequested(timedelta(seconds=5))]),
        ],
    )
    ended = judged(Raised(group))
    assert isinstance(ended, FailedAttempt)
    assert ended.delay_seconds == 5.0


def test_a_group_with_anything_else_in_it_is_a_failure() -> None:
    assert isinstance(judged(Raised(BaseExceptionGroup("tasks", [RetryRequested(), ValueError()]))), Outcome)


@pytest.mark.parametrize("ending", [Returned, Raised])
def test_a_snoozed_job_goes_back_uncounted(ending: Any) -> None:
    assert judged(ending(Snooze(timedelta(minutes=1))), attempts=4) == Release(7, 3, 60.0)


@pytest.mark.parametrize("ending", [Returned, Raised])
def test_a_job_that_cancels_itself_says_why(ending: Any) -> None:
    assert judged(ending(Cancel("the order is gone"))) == Outcome(
        7, 3, "canceled", 0.5, 2.0, None, "the order is gone"
    )


def test_a_request_to_cancel_decides_whatever_the_handler_made_of_it() -> None:
    for ending in (Returned(1), Raised(ValueError("bad")), Raised(RetryRequested())):
        ended = judged(ending, {"max_attempts": 5}, is_canceled=True)
        assert isinstance(ended, Outcome)
        assert ended.status == "canceled"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("a\0b"), "ValueError: a\N{REPLACEMENT CHARACTER}b"),
        (ValueError("a\ud800b"), "ValueError: a?b"),
        (Unspeakable(), "Unspeakable"),
    ],
)
def test_what_postgresql_refuses_is_cleaned_from_an_errors_text(error: Exception, expected: str) -> None:
    ended = judged(Raised(error))
    assert isinstance(ended, Outcome)
    assert ended.error == expected
    (ended.traceback or "").encode()
    assert "\0" not in (ended.traceback or "")


@pytest.mark.parametrize("verdict", [Snooze, Retry])
def test_a_delay_that_is_none_is_refused_where_it_is_asked_for(verdict: Any) -> None:
    with pytest.raises(TypeError, match=r"delay must be a timedelta, such as timedelta\(seconds=5\), not 5"):
        verdict(5)


@pytest.mark.parametrize("verdict", [Snooze, Retry])
def test_a_delay_of_ages_is_cut_to_what_the_database_can_count(verdict: Any) -> None:
    ended = judged(Raised(verdict(timedelta.max)))
    assert isinstance(ended, Release | FailedAttempt)
    assert ended.delay_seconds == LONGEST_DELAY.total_seconds()


class Raising(Backoff):
    def delay_seconds(self, failures: int) -> float:
        raise LookupError("no delay")


class Confused(Backoff):
    def delay_seconds(self, failures: int) -> Any:
        return timedelta(seconds=failures)


@pytest.mark.parametrize(
    ("backoff", "said"), [(Raising(), "LookupError: no delay"), (Confused(), "TypeError: float()")]
)
@pytest.mark.parametrize("error", [ValueError("x"), RetryRequested(None, "x")], ids=["failed", "asked"])
def test_a_backoff_that_fails_costs_neither_the_error_nor_the_retries(
    backoff: Backoff, said: str, error: Exception
) -> None:
    ended = judged(Raised(error), {"max_attempts": 5, "backoff": backoff})
    assert isinstance(ended, FailedAttempt)
    assert ended.error == f"{type(error).__name__}: x"
    assert 0.5 <= ended.delay_seconds <= 1
    assert f"the backoff of 'mail' failed, so the default one is used: {said}" in ended.traceback


class Untold(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise LookupError("no such class")


class Incomparable(Exception, metaclass=Untold):
    pass


def test_what_the_handler_raised_is_told_though_it_cannot_be_judged() -> None:
    ended = judged(Raised(OSError("down")), {"max_attempts": 5, "retry_on": (Incomparable,)})
    assert isinstance(ended, Outcome)
    assert (ended.status, ended.error) == ("exception", "OSError: down")
    assert "what becomes of the job could not be found out: LookupError: no such class" in (
        ended.traceback or ""
    )
