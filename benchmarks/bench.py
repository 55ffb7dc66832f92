"""Bench: a fresh database and a fresh process for each measurement of a contestant, and the count of its jobs."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg

from benchmarks.figures import Figures
from benchmarks.lineup import Contestant
from benchmarks.process import Process, started
from benchmarks.server import Server
from benchmarks.sizes import Sizes

POLL_SECONDS = 0.002
ACKNOWLEDGE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A contestant on a database with its tables: where one measurement takes place."""

    server: Server
    process: Process
    connection: psycopg.Connection
    """The measurer's own."""

    @property
    def database(self) -> str:
        """The database's name."""
        return self.connection.info.dbname

    def another(self) -> AbstractContextManager[Process]:
        """One more process of the contestant, on the same database."""
        return started(self.process.contestant, self.process.dsn)

    def fill(self, jobs: int, *, first: int = 0, delay_seconds: float = 0) -> None:
        """Adds jobs by SQL, however many, and lets vacuum and the planner's statistics see them."""
        fill = self.process.introduction["fill"]
        self.connection.execute(fill, {"first": first, "last": first + jobs - 1, "delay": delay_seconds})
        if jobs > 1:
            self.connection.execute("VACUUM ANALYZE")

    def left(self) -> int:
        """How many jobs are still to be done that are due."""
        return self._count("left")

    def done(self) -> int:
        """How many different jobs ended well."""
        return self._count("done")

    def await_acknowledgement(self, every_seconds: float = POLL_SECONDS) -> float:
        """Waits until no job is left that is due; answers when that was, on the monotonic clock."""
        deadline = time.monotonic() + ACKNOWLEDGE_SECONDS
        while self.left() and time.monotonic() < deadline:
            time.sleep(every_seconds)
        return time.monotonic()

    def _count(self, what: str) -> int:
        query = cast(LiteralString, self.process.introduction[what])
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


class Bench:
    """The server, the sizes, and the figures so far."""

    def __init__(self, server: Server, sizes: Sizes, figures: Figures) -> None:
        self.server = server
        self.sizes = sizes
        self.figures = figures
        self.versions: dict[str, dict[str, str]] = {}
        self._templates: dict[str, str] = {}
        self._stocked: dict[str, str] = {}

    @contextmanager
    def stage(self, contestant: Contestant, part: str = "only") -> Iterator[Stage]:
        """A contestant on a database of its own with nothing in it, which is dropped afterwards."""
        name = f"bench_{contestant.key}_{part}"
        dsn = self.server.create(name, self._template(contestant))
        try:
            with self._on(contestant, dsn) as stage:
                yield stage
        finally:
            self.server.drop(name)

    @contextmanager
    def stocked_stage(self, contestant: Contestant, jobs: int) -> Iterator[Stage]:
        """A contestant on a database with a backlog, which is kept from round to round."""
        name = f"bench_{contestant.key}_stock"
        is_new = name not in self._stocked
        if is_new:
            self._stocked[name] = self.server.create(name, self._template(contestant))
        with self._on(contestant, self._stocked[name]) as stage:
            if is_new:
                stage.fill(jobs)
            yield stage

    def close(self) -> None:
        """Drops the databases that were kept."""
        for name in [*self._templates.values(), *self._stocked]:
            self.server.drop(name)

    def check(self, contestant: Contestant, measurement: str, counted: dict[str, Any]) -> None:
        """Marks the contestant unless every count is what it must be: pairs of found and expected."""
        wrong = {what: pair for what, pair in counted.items() if pair[0] != pair[1]}
        for what, (found, expected) in wrong.items():
            self.figures.mark(contestant.key, measurement, f"{what}: {found}, expected {expected}")

    @contextmanager
    def _on(self, contestant: Contestant, dsn: str) -> Iterator[Stage]:
        with started(contestant, dsn) as process, psycopg.connect(dsn, autocommit=True) as connection:
            yield Stage(self.server, process, connection)

    def _template(self, contestant: Contestant) -> str:
        name = self._templates.get(contestant.key)
        if name is None:
            name = self._templates[contestant.key] = f"bench_{contestant.key}_template"
            with started(contestant, self.server.create(name)) as process:
                process.ask("install")
                self.versions[contestant.key] = process.introduction["versions"]
        return name
