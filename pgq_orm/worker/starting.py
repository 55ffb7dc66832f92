"""Starting: how an attempt's task begins, at once where Python can do that."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def start_task(coroutine: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
    """A task of its own, with a copy of the current context. Since Python 3.12 it has begun when this returns.

    A handler that awaits nothing has ended by then, and the event loop was not asked to come back to it. Where the
    application has a task factory, it is that one's to decide.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return asyncio.Task(coroutine, loop=loop, name=name, eager_start=True)
    return loop.create_task(coroutine, name=name)
