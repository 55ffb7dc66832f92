"""Targets: what the queue is to reach, as ratios within one run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.figures import Figures
from benchmarks.lineup import LINEUP, Side

Value: TypeAlias = Callable[[Figures, str], float | None]
"""A contestant's value."""

IN_LOOP = ("sqlalchemy-asyncpg", "sqlalchemy-psycopg")


@dataclass(frozen=True, slots=True)
class Bound:
    """A ratio to somebody else's value, or a plain number."""

    words: str
    factor: float
    against: tuple[str, ...] = ()
    """Whose value; the best of several."""


@dataclass(frozen=True, slots=True)
class Target:
    """What some of our contestants are to reach."""

    name: str
    value: Value
    ours: tuple[str, ...]
    at_least: Bound
    aim: Bound
    is_cost: bool = False
    """Whether less is better."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far one contestant is from a target: the ratio for each bound, None where it cannot be told."""

    target: Target
    contestant: str
    at_least: float | None
    aim: float | None

    def is_met(self, bound: Bound, ratio: float) -> bool:
        """Whether the ratio keeps to the bound."""
        return ratio <= bound.factor if self.target.is_cost else ratio >= bound.factor


def judge(figures: Figures) -> Iterator[Verdict]:
    """A verdict for each target and contestant that was measured."""
    for target in TARGETS:
        for contestant in target.ours:
            value = target.value(figures, contestant)
            if value is None:
                continue
            at_least, aim = (_ratio(figures, target, value, bound) for bound in (target.at_least, target.aim))
            yield Verdict(target, contestant, at_least, aim)


def _ratio(figures: Figures, target: Target, value: float, bound: Bound) -> float | None:
    if not bound.against:
        return value
    found = [target.value(figures, contestant) for contestant in bound.against]
    references = [reference for reference in found if reference]
    if not references:
        return None
    return value / (min(references) if target.is_cost else max(references))


def _median(metric: str) -> Value:
    return lambda figures, contestant: figures.median(metric, contestant)


def _own_ratio(metric: str, to: str) -> Value:
    return lambda figures, contestant: figures.ratio(contestant, metric, to)


def _wal(figures: Figures, contestant: str) -> float | None:
    enqueue = figures.median("enqueued_singly_wal_bytes", contestant)
    drain = figures.median("drain_wal_bytes", contestant)
    return None if enqueue is None or drain is None else enqueue + drain


def _peer(words: str, factor: float, peer: str = "pgqueuer") -> Bound:
    return Bound(words, factor, (peer,))


def _raw(words: str, factor: float) -> Bound:
    return Bound(words, factor, tuple(contestant.key for contestant in LINEUP if contestant.side is Side.raw))


TARGETS = (
    Target(
        "drain, async no-op handler",
        _median("drained_per_second"),
        (*IN_LOOP, "django-async"),
        _peer("2 × PgQueuer", 2),
        _raw("60 % of raw SQL", 0.6),
    ),
    Target(
        "bulk enqueue",
        _median("enqueued_in_bulk_per_second"),
        (*IN_LOOP, "sqlalchemy-sync", "django-sync"),
        _peer("1.5 × PgQueuer", 1.5),
        _raw("70 % of raw COPY", 0.7),
    ),
    Target(
        "single enqueue + commit",
        _median("enqueued_singly_per_second"),
        (*IN_LOOP, "sqlalchemy-sync", "django-sync"),
        _peer("1 × PgQueuer", 1),
        _raw("70 % of raw SQL", 0.7),
    ),
    Target(
        "latency p50",
        _median("latency_p50_ms"),
        IN_LOOP,
        _peer("0.6 × PgQueuer's", 0.6),
        _raw("1.5 × raw SQL", 1.5),
        is_cost=True,
    ),
    Target(
        "latency p99",
        _median("latency_p99_ms"),
        IN_LOOP,
        _peer("0.6 × PgQueuer's", 0.6),
        _raw("1.5 × raw SQL", 1.5),
        is_cost=True,
    ),
    Target(
        "WAL per job, enqueue + drain",
        _wal,
        IN_LOOP,
        _peer("0.5 × PgQueuer", 0.5),
        _raw("1.2 × raw SQL", 1.2),
        is_cost=True,
    ),
    Target(
        "drain with a snapshot pinned, against unpinned",
        _own_ratio("pinned_per_second", "unpinned_per_second"),
        IN_LOOP,
        Bound("0.8", 0.8),
        Bound("0.95", 0.95),
    ),
    Target(
        "the first of a large backlog, against an empty table",
        _own_ratio("backlog_started_per_second", "drain_started_per_second"),
        IN_LOOP,
        Bound("0.9", 0.9),
        Bound("1", 1),
    ),
    Target(
        "drain among deferred jobs, against an empty table",
        _own_ratio("deferred_per_second", "drained_per_second"),
        IN_LOOP,
        Bound("0.9", 0.9),
        Bound("1", 1),
    ),
    Target(
        "drain, Django, sync no-op handler",
        _median("drained_per_second"),
        ("django-sync",),
        _peer("20 × django-tasks-db", 20, "django-tasks-db"),
        _peer("50 × django-tasks-db", 50, "django-tasks-db"),
    ),
    Target(
        "16 concurrent enqueuers, wake-ups on against off",
        _own_ratio("wakeups_on_per_second", "wakeups_off_per_second"),
        ("sqlalchemy-asyncpg",),
        Bound("0.9", 0.9),
        Bound("1", 1),
    ),
    Target(
        "ten idle workers, statements a second in all",
        _median("idle_statements_per_second"),
        ("sqlalchemy-asyncpg",),
        Bound("2", 2),
        Bound("1", 1),
        is_cost=True,
    ),
)
