"""Vitals: how a worker fares at one moment, and what its attempts have come to since it started."""

from bisect import bisect_left
from dataclasses import dataclass, field
from uuid import UUID

from pgq_orm.operations.endings import Ended, FailedAttempt, Outcome, Release

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds: the upper bounds of the intervals into which durations are sorted; the last interval has none."""


@dataclass(frozen=True, slots=True)
class Tallied:
    """The attempts of one entrypoint that came to the same."""

    entrypoint: str
    outcome: str
    """`successful`, `exception` and `canceled` as in the log; `retried`, or `released` if it did not count."""
    attempts: int
    seconds: float
    """Of all of them together."""
    intervals: tuple[int, ...]
    """How many lasted as long as each of BOUNDS, and no shorter interval; the last of them longer."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What can be told without asking anybody. Those of a worker that does not run are the defaults."""

    worker_id: UUID | None = None
    running: int = 0
    """Attempts that run."""
    slots: int = 0
    """Attempts that may run at a time."""
    heartbeat_age: float | None = None
    """Seconds since the database answered a heartbeat, as it does every third of `heartbeat_timeout`."""
    is_database_reachable: bool = False
    """Whether the last heartbeat was answered."""
    picked: int = 0
    """Jobs picked since the worker started."""
    attempts: tuple[Tallied, ...] = ()
    """What became of them, counted and timed."""
    is_picking: bool = False
    """Whether it takes jobs: registered, and neither ending nor cut off."""

    @property
    def is_working(self) -> bool:
        """Whether it takes jobs, as far as it knows."""
        return self.is_picking and self.is_database_reachable


@dataclass(slots=True)
class _Column:
    seconds: float = 0.0
    intervals: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


class Tally:
    """Counts ended attempts. Written by the loop's thread; snapshots may be taken by any."""

    def __init__(self) -> None:
        self.picked = 0
        self._columns: dict[tuple[str, str], _Column] = {}

    def count(self, entrypoint: str, ended: Ended, seconds: float) -> None:
        """Adds one attempt."""
        key = entrypoint, _outcome(ended)
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = _Column()
        column.seconds += seconds
        column.intervals[bisect_left(BOUNDS, seconds)] += 1

    def snapshot(self) -> tuple[Tallied, ...]:
        """What has been counted."""
        return tuple(
            Tallied(entrypoint, outcome, sum(intervals), column.seconds, intervals)
            for (entrypoint, outcome), column in self._columns.copy().items()
            if (intervals := tuple(column.intervals))
        )


def _outcome(ended: Ended) -> str:
    match ended:
        case Outcome(status=status):
            return status
        case FailedAttempt():
            return "retried"
        case Release():
            return "released"
        case _:  # ended by its handler's own transaction
            return "successful"
