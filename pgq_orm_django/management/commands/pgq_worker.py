"""The command `pgq_worker`: runs the jobs that the installed apps' `tasks` modules have handlers for."""

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connections

from pgq_orm.errors import PgqError
from pgq_orm.processes.flags import HELP, PROBE_HOST, refuse_conflicts
from pgq_orm.processes.launch import launch
from pgq_orm.processes.probe import Address
from pgq_orm.processes.worker import LoopKind
from pgq_orm.worker.settings import QueueExecutionMode, WorkerSettings
from pgq_orm_django.bounds import bounded, duration
from pgq_orm_django.databases import default_alias
from pgq_orm_django.program import ProjectProgram
from pgq_orm_django.watching import AutoreloadWatch

DEFAULTS = WorkerSettings()


class Command(BaseCommand):
    """Works until it is told to end. SIGTERM or Ctrl-C once: finish what runs. Twice: interrupt it."""

    help = (
        "Runs the jobs that the installed apps' tasks modules have handlers for. SIGTERM or Ctrl-C ends it once what "
        "runs has finished; a second one interrupts that, and gives it back to the queue."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        def add(name: str, **options: Any) -> None:
            default = " Default: %(default)s." if options.get("default") is not None else ""
            parser.add_argument(f"--{name}", help=HELP[name] + default, **options)

        parser.add_argument(
            "--queue",
            action="append",
            dest="queues",
            metavar="NAME",
            help=HELP["queue"],
        )
        parser.add_argument(
            "--database",
            choices=tuple(connections),
            help="The database with the queue. Default: the one that routers and settings.PGQ name.",
        )
        count = bounded(int, at_least=1)
        add("concurrency", type=count, default=DEFAULTS.max_concurrent_tasks, metavar="N")
        add("batch-size", type=count, default=DEFAULTS.batch_size, metavar="N")
        add("processes", type=count, metavar="N")
        add("drain", action="store_true")
        add("max-jobs", type=count, metavar="N")
        add("max-time", type=duration, metavar="DURATION")
        add("shutdown-timeout", type=duration, metavar="DURATION")
        add("probe-port", type=bounded(int, at_least=0, at_most=65535), metavar="PORT")
        add("probe-host", default=PROBE_HOST, metavar="ADDRESS")
        add("reload", action="store_true")
        add("shutdown-on-listener-failure", action="store_true")
        add("loop", type=LoopKind, choices=tuple(LoopKind), default=LoopKind.auto)
        for name, default, shortest in (
            ("dequeue-timeout", DEFAULTS.dequeue_timeout, 0.1),
            ("heartbeat-timeout", DEFAULTS.heartbeat_timeout, 1.0),
        ):
            seconds = bounded(float, at_least=shortest)
            add(name, type=seconds, default=default.total_seconds(), metavar="SECONDS")

    def handle(self, *args: Any, **options: Any) -> None:
        port, watch = options["probe_port"], AutoreloadWatch() if options["reload"] else None
        try:
            refuse_conflicts(processes=options["processes"], drain=options["drain"], reload=options["reload"])
            status = launch(
                self._program(options),
                processes=options["processes"],
                probe=None if port is None else Address(options["probe_host"], port),
                watch=watch,
            )
        except (PgqError, DatabaseError) as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def _program(self, options: dict[str, Any]) -> ProjectProgram:
        return ProjectProgram(
            options["database"] or default_alias(),
            options["verbosity"],
            {
                "queues": tuple(options["queues"]) if options["queues"] else None,
                "max_concurrent_tasks": options["concurrency"],
                "batch_size": options["batch_size"],
                "dequeue_timeout": timedelta(seconds=options["dequeue_timeout"]),
                "heartbeat_timeout": timedelta(seconds=options["heartbeat_timeout"]),
                "shutdown_on_listener_failure": options["shutdown_on_listener_failure"],
                "mode": QueueExecutionMode.drain if options["drain"] else QueueExecutionMode.continuous,
                "max_jobs": options["max_jobs"],
                "max_time": options["max_time"],
                "shutdown_timeout": options["shutdown_timeout"],
                "loop": options["loop"],
            },
        )
