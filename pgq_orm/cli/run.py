"""The command that runs a worker."""

import logging
import os
import sys
from datetime import timedelta
from typing import Annotated

import typer

from pgq_orm.applications import DEFAULTS
from pgq_orm.cli.complaints import complaining
from pgq_orm.factories import load_factory, opened
from pgq_orm.process import run_process
from pgq_orm.worker.settings import QueueExecutionMode


def run(
    factory: Annotated[
        str,
        typer.Argument(
            help="A PgQueuer or a function that makes one: package.module:name or package.module.name.",
            show_default=False,
        ),
    ],
    queue: Annotated[
        list[str] | None,
        typer.Option(
            help="A queue to serve; give it several times for several. "
            "By default those that the application declares, and 'default'."
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "--max-concurrent-tasks", min=1, help="Jobs that run at a time.")
    ] = DEFAULTS.max_concurrent_tasks,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Jobs picked by one statement, at the most.")
    ] = DEFAULTS.batch_size,
    dequeue_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that an idle worker relies on being woken.")
    ] = DEFAULTS.dequeue_timeout.total_seconds(),
    heartbeat_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds without heartbeat after which the worker is declared dead.")
    ] = DEFAULTS.heartbeat_timeout.total_seconds(),
    mode: Annotated[
        QueueExecutionMode, typer.Option(help="Run until asked to end, or until no job is ready.")
    ] = DEFAULTS.mode,
    drain: Annotated[bool, typer.Option("--drain", help="The same as --mode drain.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a worker until SIGTERM or SIGINT: once to finish what runs, twice to give everything back now."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(message)s")
    sys.path.insert(0, os.getcwd())
    with complaining():
        run_process(
            opened(load_factory(factory)),
            queues=tuple(queue) if queue else None,
            max_concurrent_tasks=concurrency,
            batch_size=batch_size,
            dequeue_timeout=timedelta(seconds=dequeue_timeout),
            heartbeat_timeout=timedelta(seconds=heartbeat_timeout),
            mode=QueueExecutionMode.drain if drain else mode,
        )
