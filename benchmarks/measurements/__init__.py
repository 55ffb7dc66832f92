"""Measurements: each takes a contestant through one situation, and answers its figures by metric."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.bench import Bench
from benchmarks.lineup import LINEUP, Contestant
from benchmarks.measurements import draining, enqueueing, idling, latency, waking

Measure: TypeAlias = Callable[[Bench, Contestant], Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One situation, and who is taken through it."""

    name: str
    measure: Measure
    contestants: tuple[Contestant, ...]
    most_rounds: int = 9


def _all_but(*keys: str) -> tuple[Contestant, ...]:
    return tuple(contestant for contestant in LINEUP if contestant.key not in keys)


def _only(*keys: str) -> tuple[Contestant, ...]:
    return tuple(contestant for contestant in LINEUP if contestant.key in keys)


_SLOW = tuple(contestant.key for contestant in LINEUP if contestant.share < 1)
_SECOND = ("raw-psycopg", "sqlalchemy-sync", "django-async", "django-sync")
"""Whose figures would repeat what another one's tell already."""

MEASUREMENTS = (
    Measurement("enqueue", enqueueing.measure, LINEUP),
    Measurement("drain", draining.measure, LINEUP),
    Measurement("latency", latency.measure, _all_but("raw-psycopg", "sqlalchemy-sync", "django-async")),
    Measurement("deferred", draining.measure_with_deferred, _all_but(*_SECOND)),
    Measurement("backlog", draining.measure_with_backlog, _all_but(*_SECOND, *_SLOW)),
    Measurement("pinned", draining.measure_pinned, _all_but(*_SECOND, *_SLOW), most_rounds=2),
    Measurement("waking", waking.measure, _only("sqlalchemy-asyncpg")),
    Measurement("idle", idling.measure, _only("sqlalchemy-asyncpg", "pgqueuer"), most_rounds=1),
)

NAMES = tuple(measurement.name for measurement in MEASUREMENTS)

__all__ = ["MEASUREMENTS", "NAMES", "Measurement"]
