"""The command that runs a worker."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from multiprocessing import parent_process
from typing import Annotated, Any

import typer

from pgq_orm.applications import DEFAULTS, PgQueuer
from pgq_orm.cli.complaints import complaining, complaint_about, unreachable
from pgq_orm.cli.durations import duration
from pgq_orm.errors import FlagError
from pgq_orm.factories import load_factory, opened
from pgq_orm.processes.flags import HELP, PROBE_HOST, refuse_conflicts
from pgq_orm.processes.helm import Helm
from pgq_orm.processes.launch import launch
from pgq_orm.processes.probe import Address
from pgq_orm.processes.reloading import ModuleWatch
from pgq_orm.processes.worker import LoopKind, run_worker
from pgq_orm.worker.allowance import Ending
from pgq_orm.worker.outages import is_outage
from pgq_orm.worker.settings import QueueExecutionMode


class LogLevel(StrEnum):
    """How much the worker says."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


@dataclass(frozen=True)
class FactoryProgram:
    """The worker of the application that a factory makes."""

    factory: str
    log_level: LogLevel
    options: Mapping[str, Any]

    def run(self, helm: Helm) -> Ending | None:
        _log(self.log_level)
        return run_worker(_connecting(opened(load_factory(self.factory))), helm, **self.options)

    def explain(self, error: Exception) -> str | None:
        return complaint_about(error)


@asynccontextmanager
async def _connecting(opening: AbstractAsyncContextManager[PgQueuer]) -> AsyncIterator[PgQueuer]:
    """Opens the application; a database that its worker cannot reach to begin with is named."""
    async with opening as pgq:
        try:
            yield pgq
        except Exception as error:
            if pgq.started.is_set() or not is_outage(error):
                raise
            raise unreachable(getattr(pgq.store, "url", None), error, "the application") from error


def run(
    factory: Annotated[
        str,
        typer.Argument(
            help="A PgQueuer or a function that makes one: package.module:name or package.module.name.",
            show_default=False,
        ),
    ],
    queue: Annotated[list[str] | None, typer.Option(metavar="NAME", help=HELP["queue"])] = None,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", "--max-concurrent-tasks", min=1, metavar="N", help=HELP["concurrency"]),
    ] = DEFAULTS.max_concurrent_tasks,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help=HELP["batch-size"])
    ] = DEFAULTS.batch_size,
    processes: Annotated[int | None, typer.Option(min=1, metavar="N", help=HELP["processes"])] = None,
    drain: Annotated[bool, typer.Option("--drain", help=HELP["drain"])] = False,
    max_jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help=HELP["max-jobs"])] = None,
    max_time: Annotated[
        timedelta | None, typer.Option(parser=duration, metavar="DURATION", help=HELP["max-time"])
    ] = None,
    shutdown_timeout: Annotated[
        timedelta | None, typer.Option(parser=duration, metavar="DURATION", help=HELP["shutdown-timeout"])
    ] = None,
    probe_port: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help=HELP["probe-port"])
    ] = None,
    probe_host: Annotated[str, typer.Option(metavar="ADDRESS", help=HELP["probe-host"])] = PROBE_HOST,
    reload: Annotated[bool, typer.Option("--reload", help=HELP["reload"])] = False,
    loop: Annotated[LoopKind, typer.Option(metavar="KIND", help=HELP["loop"])] = LoopKind.auto,
    dequeue_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help=HELP["dequeue-timeout"])
    ] = DEFAULTS.dequeue_timeout.total_seconds(),
    heartbeat_timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help=HELP["heartbeat-timeout"])
    ] = DEFAULTS.heartbeat_timeout.total_seconds(),
    shutdown_on_listener_failure: Annotated[
        bool, typer.Option("--shutdown-on-listener-failure", help=HELP["shutdown-on-listener-failure"])
    ] = False,
    mode: Annotated[
        QueueExecutionMode, typer.Option(metavar="MODE", help="continuous, or drain: the same as --drain.")
    ] = DEFAULTS.mode,
    log_level: Annotated[
        LogLevel,
        typer.Option(case_sensitive=False, metavar="LEVEL", help="debug, info, warning or error."),
    ] = LogLevel.info,
) -> None:
    """Run a worker until SIGTERM or SIGINT: once to finish what runs, twice to give everything back now.

    Every option can be given by the environment as well: PGQ_CONCURRENCY for --concurrency.
    """
    mode = QueueExecutionMode.drain if drain else mode
    try:
        refuse_conflicts(processes=processes, drain=mode is QueueExecutionMode.drain, reload=reload)
    except FlagError as error:
        raise typer.BadParameter(str(error)) from error
    _log(log_level)
    sys.path.insert(0, os.getcwd())
    program = FactoryProgram(
        factory,
        log_level,
        {
            "queues": tuple(queue) if queue else None,
            "max_concurrent_tasks": concurrency,
            "batch_size": batch_size,
            "dequeue_timeout": timedelta(seconds=dequeue_timeout),
            "heartbeat_timeout": timedelta(seconds=heartbeat_timeout),
            "shutdown_on_listener_failure": shutdown_on_listener_failure,
            "mode": mode,
            "max_jobs": max_jobs,
            "max_time": max_time,
            "shutdown_timeout": shutdown_timeout,
            "loop": loop,
        },
    )
    with complaining():
        status = launch(
            program,
            processes=processes,
            probe=None if probe_port is None else Address(probe_host, probe_port),
            watch=ModuleWatch() if reload else None,
        )
    raise typer.Exit(status)


def _log(level: LogLevel) -> None:
    name = "" if parent_process() is None else "%(processName)s "
    logging.basicConfig(level=level.upper(), format=f"%(asctime)s %(levelname)-7s {name}%(message)s")
