"""Outcomes: what a handler may say about its own job, by raising it or by returning it."""

from datetime import timedelta

from pgq_orm.durations import require_duration
from pgq_orm.errors import PgqError, RetryException


class HandlerVerdict(PgqError):  # noqa: N818 - an answer, not a fault
    """What a handler says about its job instead of a result. Raise it from anywhere, or return it."""


class RetryRequested(HandlerVerdict, RetryException):
    """The attempt failed and the job is to be run again after the delay, as long as attempts are left.

    `delay` None leaves it to the entrypoint's backoff. The failed attempt is counted and logged.
    """

    def __init__(self, delay: timedelta | None = None, reason: str | None = None) -> None:
        if delay is not None:
            require_duration("delay", delay)
        super().__init__(reason or "retry requested")
        self.delay = delay
        self.reason = reason


class Snooze(HandlerVerdict):
    """It is too early: the job is to be run again after the delay. No attempt is counted, none is logged."""

    def __init__(self, delay: timedelta) -> None:
        require_duration("delay", delay)
        super().__init__(f"snoozed for {delay}")
        self.delay = delay


class Cancel(HandlerVerdict):
    """The job is not to be run any more: it ends as `canceled`, with the reason in its log row."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(reason)


class InvalidArgumentsError(HandlerVerdict):
    """A job's arguments are not what its task takes: it ends as `exception`, for trying again cannot help."""


class Fail(HandlerVerdict):
    """The job has failed for good, however many attempts are left. `reason` is an exception, or words."""

    def __init__(self, reason: BaseException | str) -> None:
        super().__init__(reason)
        self.error = reason if isinstance(reason, BaseException) else self


Retry = RetryRequested
