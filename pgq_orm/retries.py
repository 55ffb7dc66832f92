"""Retries: how long to wait before trying again. Pure arithmetic."""

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponentially growing delays with jitter: full by default, so that a crowd does not come back as one."""

    initial: timedelta = timedelta(seconds=1)
    maximum: timedelta = timedelta(minutes=10)
    factor: float = 2.0
    jitter: float = 0.5
    """The share of a delay, 0 to 1, that is left to chance."""

    def delay_seconds(self, failures: int) -> float:
        """The delay after so many failures in a row, at least one."""
        exponent = min(failures - 1, 64)
        longest = min(self.initial.total_seconds() * self.factor**exponent, self.maximum.total_seconds())
        return longest * (1 - self.jitter * random.random())
