"""Lineup: who is measured, and from which environment each of them runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """Who a contestant is to us."""

    raw = "raw"
    ours = "ours"
    peer = "peer"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to enqueue jobs and to run them, behind the protocol of `contestants/conversation.py`."""

    key: str
    label: str
    side: Side
    module: str
    options: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    """What its own environment needs; nothing for what runs in the project's."""
    share: float = 1.0
    """The part of every measurement's jobs that it is given: a slow peer's figures need no more."""

    def jobs(self, count: int) -> int:
        """How many jobs it is given where a measurement has `count` of them."""
        return max(round(count * self.share), 50)


LINEUP = (
    Contestant("raw-asyncpg", "raw SQL, asyncpg", Side.raw, "raw", {"driver": "asyncpg"}),
    Contestant("raw-psycopg", "raw SQL, psycopg", Side.raw, "raw", {"driver": "psycopg"}),
    Contestant(
        "sqlalchemy-asyncpg",
        "pgq-orm, AsyncSession, asyncpg",
        Side.ours,
        "ours_sqlalchemy",
        {"driver": "asyncpg"},
    ),
    Contestant(
        "sqlalchemy-psycopg",
        "pgq-orm, AsyncSession, psycopg",
        Side.ours,
        "ours_sqlalchemy",
        {"driver": "psycopg"},
    ),
    Contestant("sqlalchemy-sync", "pgq-orm, Session, psycopg", Side.ours, "ours_sqlalchemy"),
    Contestant("django-async", "pgq-orm, Django, async", Side.ours, "ours_django", {"handler": "async"}),
    Contestant("django-sync", "pgq-orm, Django, sync", Side.ours, "ours_django", {"handler": "sync"}),
    Contestant("pgqueuer", "PgQueuer", Side.peer, "pgqueuer", requirements=("pgqueuer", "asyncpg", "uvloop")),
    Contestant(
        "procrastinate",
        "Procrastinate",
        Side.peer,
        "procrastinate",
        requirements=("procrastinate", "psycopg[binary,pool]"),
        share=0.05,
    ),
    Contestant(
        "django-tasks-db",
        "django-tasks-db",
        Side.peer,
        "django_tasks_db",
        requirements=(
            "django-tasks-db",
            "django",
            "psycopg[binary]",
            # whose own part of Django is missing where Python, and so Django, is older
            "django-tasks; python_version < '3.12'",
        ),
        share=0.05,
    ),
)
"""Whoever comes first is measured first in the first round; every round begins one further down."""

BY_KEY = {contestant.key: contestant for contestant in LINEUP}
