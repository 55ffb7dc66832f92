"""Limits: how many jobs of an entrypoint may run at a time, and start in a second, among all workers together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

from pgq_orm.errors import RegistrationError

SPARE_SHARE = 1 / 20
"""How much of a rate above one per second is kept for catching up, after a look that came late."""
RATES = (1e-6, 1e6)
"""The slowest is one job in eleven days."""
_INTEGER = range(1, 2**31)


class LimitOptions(TypedDict, total=False):
    """What may be said of how many jobs run. All of it holds among all workers that know the limit."""

    concurrency_limit: int
    """How many jobs of the entrypoint run at a time."""
    concurrency_limit_per_key: int
    """How many of its jobs with the same `concurrency_key` run at a time; those without a key are not held back."""
    serialized_dispatch: bool
    """One job at a time: `concurrency_limit=1`."""
    requests_per_second: float
    """How many jobs start in a second: never more than one above it, also after a pause. 0.1 is one in ten seconds."""


class Bucket(NamedTuple):
    """A token bucket: how many tokens it holds, and how many flow into it in a second."""

    capacity: float
    refill: float


@dataclass(frozen=True, slots=True)
class Limit:
    """How many jobs may run at a time, with the same key, and start in a second; None is without a limit."""

    concurrency: int | None = None
    per_key: int | None = None
    per_second: float | None = None

    @property
    def bucket(self) -> Bucket | None:
        """The bucket that lets no second have more than `per_second` jobs, and one.

        In a second it gives what is in it and what flows in: capacity + refill = per_second + 1. To hold more than one
        token, so that a look that comes late finds what it missed, it is refilled more slowly: at 95 % of a high rate.
        """
        if self.per_second is None:
            return None
        spare = max(self.per_second - 1, 0) * SPARE_SHARE
        return Bucket(1 + spare, self.per_second - spare)

    @property
    def most(self) -> float:
        """How many jobs can be picked at once, at the most."""
        bucket = self.bucket
        return min(self.concurrency or math.inf, math.inf if bucket is None else int(bucket.capacity))


def read_limit(options: Mapping[str, Any]) -> Limit | None:
    """The limit that an entrypoint's options ask for, None if they ask for none. Raises RegistrationError."""
    is_serialized = options.get("serialized_dispatch", False)
    if not isinstance(is_serialized, bool):
        raise RegistrationError(f"serialized_dispatch must be True or False, not {is_serialized!r}")
    concurrency = _checked_count("concurrency_limit", options)
    if is_serialized:
        if concurrency not in (None, 1):
            raise RegistrationError(
                f"serialized_dispatch is one job at a time, concurrency_limit={concurrency} is not: leave one out"
            )
        concurrency = 1
    per_key = _checked_count("concurrency_limit_per_key", options)
    if concurrency is not None and per_key is not None and per_key > concurrency:
        raise RegistrationError(
            f"concurrency_limit_per_key={per_key} can never be reached with concurrency_limit={concurrency}: "
            "give a smaller one, or leave it out"
        )
    limit = Limit(concurrency, per_key, _checked_rate("requests_per_second", options))
    return None if limit == Limit() else limit


def _checked_count(name: str, options: Mapping[str, Any]) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value not in _INTEGER:
        raise RegistrationError(
            f"{name} must be a positive integer, not {value!r}; leave it out for no limit"
        )
    return value


def _checked_rate(name: str, options: Mapping[str, Any]) -> float | None:
    value = options.get(name)
    if value is None or value == math.inf:
        return None  # infinity is PgQueuer's word for it
    slowest, fastest = RATES
    if not isinstance(value, int | float) or isinstance(value, bool) or not slowest <= value <= fastest:
        raise RegistrationError(
            f"{name} must be a number from {slowest:g} to {fastest:g}, not {value!r}; leave it out for no limit"
        )
    return float(value)
