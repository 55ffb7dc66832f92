"""Statuses: where a job is in its life, and how an attempt ended."""

from enum import StrEnum


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
