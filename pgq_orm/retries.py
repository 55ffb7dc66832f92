"""Retries: whether to try again, and after which delay. Pure arithmetic."""

import random
from dataclasses import dataclass
from datetime import timedelta

from pgq_orm.durations import ZERO, require_duration
from pgq_orm.errors import RegistrationError

LARGEST_FACTOR = 1_000.0
"""Beyond it the arithmetic might overflow, and the longest delay is reached at the second failure anyway."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponentially growing delays with jitter: full by default, so that a crowd does not come back as one.

    Raises RegistrationError for what cannot be reckoned with.
    """

    initial: timedelta = timedelta(seconds=1)
    maximum: timedelta = timedelta(minutes=10)
    factor: float = 2.0
    jitter: float = 0.5
    """The share of a delay, 0 to 1, that is left to chance."""

    def __post_init__(self) -> None:
        for name in ("initial", "maximum"):
            if require_duration(name, getattr(self, name), refusal=RegistrationError) < ZERO:
                raise RegistrationError(f"{name} must not be negative, it is {getattr(self, name)!r}")
        if not _is_number(self.factor) or not 0 < self.factor <= LARGEST_FACTOR:
            raise RegistrationError(
                f"factor must be a number above 0, at most {LARGEST_FACTOR:g}, such as 2.0, not {self.factor!r}"
            )
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise RegistrationError(f"jitter must be a number from 0 to 1, such as 0.5, not {self.jitter!r}")

    def delay_seconds(self, failures: int) -> float:
        """The delay after so many failures in a row, at least one."""
        exponent = min(failures - 1, 64)
        longest = min(self.initial.total_seconds() * self.factor**exponent, self.maximum.total_seconds())
        return longest * (1 - self.jitter * random.random())


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What becomes of an attempt that raised."""

    max_attempts: int | None = None
    """Attempts that may end badly. None: an exception ends the job, a RetryRequested is always granted."""
    backoff: Backoff = Backoff()
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    """Comes before retry_on."""

    def grants(self, error: BaseException, *, failures: int, max_attempts: int | None) -> bool:
        """Whether there is another attempt after an exception; `max_attempts` is the job's own, which comes first."""
        limit = max_attempts or self.max_attempts or 1
        return (
            failures < limit
            and isinstance(error, self.retry_on)
            and not isinstance(error, self.dont_retry_on)
        )

    def grants_request(self, *, failures: int, max_attempts: int | None) -> bool:
        """Whether there is another attempt after the handler asked for one."""
        limit = max_attempts or self.max_attempts
        return limit is None or failures < limit
