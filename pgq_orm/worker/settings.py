"""Settings: how a worker works, with defaults that suit most."""

from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum

from pgq_orm.durations import ZERO, require_duration, require_positive_duration
from pgq_orm.errors import RegistrationError
from pgq_orm.operations.additions import DEFAULT_QUEUE

LONGEST_LEASE = timedelta(days=365)
"""Other workers reckon with it in SQL, which overflows at some point; as in the table's own check."""


class QueueExecutionMode(StrEnum):
    """How long a worker runs."""

    continuous = "continuous"
    """Until it is asked to end."""
    drain = "drain"
    """Until no job is ready any more; deferred ones are left."""

    @classmethod
    def _missing_(cls, value: object) -> None:
        close = get_close_matches(str(value), [mode.value for mode in cls], n=1)
        guess = f": did you mean {close[0]!r}?" if close else ""
        known = " or ".join(repr(mode.value) for mode in cls)
        raise RegistrationError(f"mode must be {known}, not {value!r}{guess}")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works. Durations of one process; the database decides what is due."""

    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    batch_size: int = 100
    """Jobs picked by one statement, at the most."""
    max_concurrent_tasks: int = 100
    """Attempts that run at a time, in tasks and threads together."""
    dequeue_timeout: timedelta = timedelta(seconds=30)
    """How long an idle worker relies on being woken before it looks by itself."""
    heartbeat_timeout: timedelta = timedelta(seconds=30)
    """How long after its last heartbeat a worker is declared dead and its jobs are rescued."""
    crash_limit: int = 5
    """Attempts after which a job that keeps killing its worker ends, unless it has its own max_attempts."""
    log_retention: timedelta | None = timedelta(days=30)
    """How long log rows are kept; None keeps them for ever."""
    mode: QueueExecutionMode = QueueExecutionMode.continuous
    shutdown_on_listener_failure: bool = False
    """Whether the worker ends, with FailingListenerError, when it cannot hear wake-ups. Otherwise it polls, and tries
    to listen again."""
    max_jobs: int | None = None
    """Attempts after which the worker ends politely; never one more is picked."""
    max_time: timedelta | None = None
    """How long after its start the worker ends politely, or up to a tenth sooner, so that workers that began together
    do not all end together."""
    shutdown_timeout: timedelta | None = None
    """How long a polite end may wait for what runs before that is interrupted and given back; None for ever."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_concurrent_tasks", "crash_limit", "max_jobs"):
            value = getattr(self, name)
            if value is None and name == "max_jobs":
                continue
            if not isinstance(value, int):
                raise RegistrationError(f"{name} must be an integer, not {value!r}")
            if value < 1:
                raise RegistrationError(f"{name} must be at least 1, not {value!r}")
        for name in ("dequeue_timeout", "heartbeat_timeout"):
            require_positive_duration(name, getattr(self, name), refusal=RegistrationError)
        if self.max_time is not None:
            require_positive_duration("max_time", self.max_time, refusal=RegistrationError)
        for name in ("log_retention", "shutdown_timeout"):
            if getattr(self, name) is not None:
                require_duration(name, getattr(self, name), refusal=RegistrationError)
        if self.heartbeat_timeout > LONGEST_LEASE:
            raise RegistrationError(
                f"heartbeat_timeout must be at most {LONGEST_LEASE.days} days, not {self.heartbeat_timeout!r}: for so "
                "long nobody would take over what a dead worker held"
            )
        if self.shutdown_timeout is not None and self.shutdown_timeout < ZERO:
            raise RegistrationError(
                f"shutdown_timeout must not be negative, it is {self.shutdown_timeout!r}; None waits for ever"
            )
        if not self.queues:
            raise RegistrationError("queues must name at least one queue")
        if not all(isinstance(name, str) and name for name in self.queues):
            raise RegistrationError(
                f"a queue's name must be a string that is not empty: {', '.join(map(repr, self.queues))}"
            )
