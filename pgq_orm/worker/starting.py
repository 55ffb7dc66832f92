"""Starting: how an attempt's task begins, at once where Python can do that."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def task_starter() -> Callable[[Coroutine[Any, Any, T], str], "asyncio.Task[T]"]:
    """What makes a task of a coroutine and a name, with a copy of the current context. Call it in the loop.

    Since Python 3.12 the task has begun when it is there: a handler that awaits nothing has ended by then, and the
    event loop was not asked to come back to it. Where the application has a task factory, it is that one's to decide.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return lambda coroutine, name: asyncio.Task(coroutine, loop=loop, name=name, eager_start=True)
    return lambda coroutine, name: loop.create_task(coroutine, name=name)
