"""Worker: runs a worker as this process, from its application's opening to the last thread."""

import asyncio
import importlib
import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import RegistrationError
from pgq_orm.processes import garbage
from pgq_orm.processes.helm import Helm, leave
from pgq_orm.worker.allowance import Ending

LEAVE_SECONDS = 5.0
"""How long handlers that cannot be interrupted may keep the process alive once the worker has ended."""
THREAD_SECONDS = 1.0
"""How long idle threads may take to notice that they are no longer needed."""

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Program(Protocol):
    """An application's worker, in whatever process. Can be pickled, so that another process can run it."""

    def run(self, helm: Helm) -> Ending | None:
        """Works until it is to end; answers why it did."""
        ...

    def explain(self, error: Exception) -> str | None:
        """One line about an error that the user can mend; None for one that needs its traceback."""
        ...


class LoopKind(StrEnum):
    """Which event loop the worker runs on."""

    auto = "auto"
    """uvloop where it is installed."""
    asyncio = "asyncio"
    uvloop = "uvloop"


def run_worker(
    opening: AbstractAsyncContextManager[PgQueuer],
    helm: Helm,
    *,
    loop: LoopKind = LoopKind.auto,
    shutdown_timeout: timedelta | None = None,
    **options: Any,
) -> Ending | None:
    """Opens the application and runs it with `options` of `PgQueuer.run` until it ends, or the helm ends it.

    Raises what `run()` raises. Does not return if a handler cannot be interrupted: the process exits.
    """
    others = threading.enumerate()
    leaving = threading.Timer(
        LEAVE_SECONDS, leave, ["some handlers cannot be interrupted; their jobs have been given back"]
    )
    leaving.daemon = True

    async def run() -> Ending | None:
        async with opening as pgq:
            garbage.settle()
            with helm.steering(pgq, shutdown_timeout):
                await pgq.run(shutdown_timeout=shutdown_timeout, **options)
        # Ending the loop waits for tasks that ignore their cancellation, and for asyncio.to_thread, possibly for ever.
        leaving.start()
        return pgq.ending

    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        ending = runner.run(run())
    leaving.cancel()
    _await_threads(others)
    return ending


def complaint_of(program: Program, error: Exception | SystemExit) -> str:
    """What a program's error says: one line if that will do, else a traceback that begins in the application."""
    explained = program.explain(error) if isinstance(error, Exception) else f"the application exits: {error}"
    if explained is not None:
        return explained
    trace = error.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None and not isinstance(error, SyntaxError):  # which names its place itself
        trace = error.__traceback__
    lines = traceback.format_exception(type(error), error, trace)
    return "the application failed\n" + "".join(lines).rstrip()


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen", _PACKAGE, importlib.__file__))


def _loop_factory(kind: LoopKind) -> Callable[[], asyncio.AbstractEventLoop] | None:
    is_installed = find_spec("uvloop") is not None
    if kind is LoopKind.asyncio or (kind is LoopKind.auto and not is_installed):
        return None
    if not is_installed:
        raise RegistrationError(
            "uvloop is not installed: run `pip install 'pgq-orm[uvloop]'`, or leave --loop out"
        )
    import uvloop

    return uvloop.new_event_loop


def _await_threads(others: list[threading.Thread]) -> None:
    """Waits for the worker's threads, which the interpreter would wait for without end."""
    ours = [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("pgq-") and not thread.daemon and thread not in others
    ]
    deadline = time.monotonic() + THREAD_SECONDS
    for thread in ours:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in ours):
        leave("some handlers cannot be interrupted; their jobs have been given back")
