"""Threads: how a blocking call runs beside the worker's loop, and how its end is waited for."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class HandlerExited(Exception):  # noqa: N818 - what happened, not a fault of the worker
    """A sync handler raised what a future cannot carry out of its thread, such as SystemExit or StopIteration."""


def catching_exits(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls; raises HandlerExited for what would otherwise end the worker, or never arrive."""
    try:
        return call(*args, **kwargs)
    except (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration) as error:
        raise HandlerExited(f"the handler raised {type(error).__name__}({error})") from error


async def call_in_thread(
    threads: Executor, call: Callable[[], T], interrupt: Callable[[], object] | None = None
) -> T:
    """Calls in a thread and waits until it has really ended: being cancelled does not stop it, its slot stays taken.

    `interrupt` is what may make it end sooner, called from the loop's thread when this is cancelled.
    """
    surroundings = copy_context()
    running = asyncio.get_running_loop().run_in_executor(
        threads, lambda: surroundings.run(catching_exits, call)
    )
    return await see_through(running, interrupt)


async def see_through(running: "asyncio.Future[T]", interrupt: Callable[[], object] | None = None) -> T:
    """Waits until it has ended, also when this is cancelled, which is told only then; see `call_in_thread`."""
    was_cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            if was_cancelled is not None:
                raise  # for the second time: the loop itself is ending, and the thread is left behind
            was_cancelled = error
            if interrupt is not None:
                interrupt()
        except BaseException:
            break
    if was_cancelled is not None:
        running.exception()  # retrieved, so that asyncio does not report it as forgotten
        raise was_cancelled
    return running.result()
