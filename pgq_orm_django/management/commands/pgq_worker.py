"""The command `pgq_worker`: runs the jobs that the installed apps' `tasks` modules have handlers for."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connections

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import PgqError
from pgq_orm.factories import opened
from pgq_orm.operations import DEFAULT_QUEUE
from pgq_orm.process import run_process
from pgq_orm.registry import Registry
from pgq_orm.worker.settings import QueueExecutionMode, WorkerSettings
from pgq_orm_django.databases import default_alias
from pgq_orm_django.registry import discover
from pgq_orm_django.store import DatabaseStore

DEFAULTS = WorkerSettings()


class Command(BaseCommand):
    """Works until it is told to end. SIGTERM or Ctrl-C once: finish what runs. Twice: interrupt it."""

    help = (
        "Runs the jobs that the installed apps' tasks modules have handlers for. SIGTERM or Ctrl-C ends it once what "
        "runs has finished; a second one interrupts that, and gives it back to the queue."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            action="append",
            dest="queues",
            metavar="NAME",
            help=f"A queue to serve; may be repeated. Default: {DEFAULT_QUEUE}, and those that tasks modules declare.",
        )
        parser.add_argument(
            "--concurrency",
            type=int,
            default=DEFAULTS.max_concurrent_tasks,
            metavar="N",
            help="How many jobs run at a time. Default: %(default)s.",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=DEFAULTS.batch_size,
            metavar="N",
            help="How many jobs are picked by one statement, at the most. Default: %(default)s.",
        )
        parser.add_argument("--drain", action="store_true", help="End when no job is ready any more.")
        parser.add_argument(
            "--database",
            choices=tuple(connections),
            help="The database with the queue. Default: the one that routers and settings.PGQ name.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = options["database"] or default_alias()
        registry = discover()
        if not registry.entrypoints:
            raise CommandError(
                "no tasks module of an installed app registers a handler, so this worker would do nothing: "
                "put one into <app>/tasks.py, below @pgq_orm_django.entrypoint('name')"
            )
        queues = tuple(options["queues"] or registry.queues_to_serve())
        _log(options["verbosity"])
        if options["verbosity"] > 0:
            self._introduce(using, queues, registry)
        try:
            run_process(
                opened(PgQueuer(DatabaseStore(using), registry=registry)),
                queues=queues,
                max_concurrent_tasks=options["concurrency"],
                batch_size=options["batch_size"],
                mode=QueueExecutionMode.drain if options["drain"] else QueueExecutionMode.continuous,
            )
        except (PgqError, DatabaseError) as error:
            raise CommandError(str(error)) from error

    def _introduce(self, using: str, queues: tuple[str, ...], registry: Registry) -> None:
        self.stdout.write(f"Database {using!r}, queues: {', '.join(queues)}")
        for name, entrypoint in sorted(registry.entrypoints.items()):
            self.stdout.write(f"  {name}: {entrypoint.handler.__module__}.{entrypoint.handler.__qualname__}")
        for schedule in registry.schedules.values():
            self.stdout.write(f"  {schedule.entrypoint} at {schedule.expression} ({schedule.timezone})")
        self.stdout.flush()


def _log(verbosity: int) -> None:
    """Shows what the worker has to say, unless the project's LOGGING sees to that."""
    logger = logging.getLogger("pgq_orm")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
