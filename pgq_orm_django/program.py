"""Program: the project's worker, in whatever process. Imported there before anybody has set up Django."""

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import django
from django.apps import apps
from django.db import Error as DatabaseError

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import PgqError, RegistrationError
from pgq_orm.factories import opened
from pgq_orm.processes.helm import ALONE, FIRST, Helm
from pgq_orm.processes.worker import run_worker
from pgq_orm.registry import Registry
from pgq_orm.worker.allowance import Ending

INTRODUCING = (ALONE, FIRST)
"""The processes that say what they run: the others would say the same."""


@dataclass(frozen=True)
class ProjectProgram:
    """The worker of this project, on one of its databases."""

    using: str
    verbosity: int
    options: Mapping[str, Any]

    def run(self, helm: Helm) -> Ending | None:
        if not apps.ready:
            django.setup()
        from pgq_orm_django.registry import discover
        from pgq_orm_django.store import DatabaseStore

        registry = discover()
        _require_handlers(registry)
        _log(self.verbosity)
        if self.verbosity > 0 and helm.name in INTRODUCING:
            sys.stdout.writelines(f"{line}\n" for line in self._introduction(registry))
            sys.stdout.flush()
        pgq = PgQueuer(DatabaseStore(self.using), registry=registry)
        return run_worker(opened(pgq), helm, **self.options)

    def explain(self, error: Exception) -> str | None:
        return str(error) if isinstance(error, PgqError | DatabaseError) else None

    def _introduction(self, registry: Registry) -> Iterator[str]:
        queues = self.options["queues"] or registry.queues_to_serve()
        yield f"Database {self.using!r}, queues: {', '.join(queues)}"
        for name, entrypoint in sorted(registry.entrypoints.items()):
            yield f"  {name}: {entrypoint.handler.__module__}.{entrypoint.handler.__qualname__}"
        for schedule in registry.schedules.values():
            yield f"  {schedule.entrypoint} at {schedule.expression} ({schedule.timezone})"


def _require_handlers(registry: Registry) -> None:
    if not registry.entrypoints:
        raise RegistrationError(
            "no tasks module of an installed app registers a handler, so this worker would do nothing: "
            "put one into <app>/tasks.py, below @pgq_orm_django.entrypoint('name')"
        )


def _log(verbosity: int) -> None:
    """Shows what the worker has to say, unless the project's LOGGING sees to that."""
    logger = logging.getLogger("pgq_orm")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
