"""Statuses: where a job is in its life, how an attempt ended, and what that means to the jobs that wait for it."""

from enum import StrEnum
from typing import Literal, TypeAlias


class JobStatus(StrEnum):
    """The status of a row in `pgq_job`: what is still to be done."""

    WAITING = "waiting"
    """Other jobs must end first."""
    QUEUED = "queued"
    """To be picked, at once or when `execute_after` has come."""
    PICKED = "picked"
    """A worker runs it, under a lease."""


class LogStatus(StrEnum):
    """The status of a row in `pgq_log`: how an attempt ended."""

    SUCCESSFUL = "successful"
    EXCEPTION = "exception"
    CANCELED = "canceled"


OnFailure: TypeAlias = Literal["cancel", "ignore", "wait"]
"""What becomes of a job when one that it depends on ends without success, after all its attempts.

"cancel" cancels it, and in turn what depends on it. "ignore" lets it run all the same. "wait" keeps it waiting until
the other is enqueued again and succeeds.
"""


def read_status(word: str) -> JobStatus | LogStatus:
    """The status that a word from either table stands for."""
    return LogStatus(word) if word in _ENDS else JobStatus(word)


_ENDS = frozenset(LogStatus)
