"""Allowance: how many attempts a worker may still start, and for how long."""

import asyncio
import math
import random
from datetime import timedelta
from enum import StrEnum

JITTER = 0.1
"""The part of its time by which a worker may end sooner."""


class Ending(StrEnum):
    """Why a worker ended by itself, or was ended."""

    asked = "asked"
    """Its `shutdown` was set."""
    drained = "drained"
    """No job was ready any more."""
    max_jobs = "max_jobs"
    """It has run as many attempts as it may."""
    max_time = "max_time"
    """It has run for as long as it may."""


IN_WORDS = {
    Ending.asked: "it was asked to",
    Ending.drained: "no job is ready any more",
    Ending.max_jobs: "it has run as many jobs as it may",
    Ending.max_time: "it has run for as long as it may",
}


class Allowance:
    """Counts down attempts and time, through all lives of a worker."""

    def __init__(self, max_jobs: int | None, max_time: timedelta | None) -> None:
        self.used_up = asyncio.Event()
        """Set when nothing more may be picked."""
        self.reason: Ending | None = None
        self._left: float = math.inf if max_jobs is None else max_jobs
        self._max_time = max_time
        self._timer: asyncio.TimerHandle | None = None

    @property
    def left(self) -> float:
        """How many attempts may still start."""
        return 0 if self.used_up.is_set() else self._left

    def start(self) -> None:
        """Lets the time run. Call it from the loop's thread."""
        if self._max_time is not None:
            # sooner, and not later: it may be a bound; workers that began together must not all be away together
            seconds = self._max_time.total_seconds() * random.uniform(1 - JITTER, 1)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._use_up, Ending.max_time)

    def take(self, attempts: int) -> None:
        """Takes off what was picked."""
        self._left -= attempts
        if self._left <= 0:
            self._use_up(Ending.max_jobs)

    def stop(self) -> None:
        """Lets the time run no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _use_up(self, reason: Ending) -> None:
        self.reason = self.reason or reason
        self.used_up.set()
