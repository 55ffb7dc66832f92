"""Delays: how they grow, and what is left to chance."""

from collections.abc import Callable
from dataclasses import dataclass

A_YEAR_SECONDS = 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class GrowingDelays:
    """Delays that grow exponentially up to a longest one, half of each left to chance ("equal jitter").

    The half keeps a crowd of jobs from coming back as one, and still leaves a failing service alone for a while.
    """

    initial_seconds: float
    longest_seconds: float | None
    multiplier: float
    jitter: Callable[[], float]
    """Gives a number from 0 to 1: how much of the half is taken off."""

    def seconds(self, failures: int) -> float:
        """The delay after so many failures in a row, at least one."""
        longest = A_YEAR_SECONDS if self.longest_seconds is None else self.longest_seconds
        try:
            delay = min(self.initial_seconds * self.multiplier ** (failures - 1), longest)
        except OverflowError:
            delay = longest
        return delay * (1 - self.jitter() / 2)
