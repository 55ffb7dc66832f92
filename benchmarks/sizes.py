"""Sizes: how much of everything is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Jobs, unless a name says otherwise."""

    rounds: int
    """How often each measurement is repeated, at the most."""
    single: int
    bulk: int
    drain: int
    latency: int
    backlog: int
    """How many lie there while the first `drain` of them are run."""
    deferred: int
    pinned: int
    waking_seconds: float
    settling_seconds: float
    """How long idle sessions may keep their statistics to themselves, at the least: PostgreSQL says 10."""
    idle_seconds: float


FULL = Sizes(
    rounds=3,
    single=3_000,
    bulk=100_000,
    drain=60_000,
    latency=100,
    backlog=1_000_000,
    deferred=100_000,
    pinned=300_000,
    waking_seconds=5,
    settling_seconds=12,
    idle_seconds=30,
)
QUICK = Sizes(
    rounds=1,
    single=1_000,
    bulk=20_000,
    drain=20_000,
    latency=20,
    backlog=200_000,
    deferred=50_000,
    pinned=60_000,
    waking_seconds=2,
    settling_seconds=11,
    idle_seconds=10,
)
TINY = Sizes(
    rounds=1,
    single=40,
    bulk=200,
    drain=300,
    latency=3,
    backlog=2_000,
    deferred=500,
    pinned=600,
    waking_seconds=0.2,
    settling_seconds=0.2,
    idle_seconds=0.2,
)
"""To see that everything runs; the figures mean nothing."""
