"""Eventually: waits for a claim to become true, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

EVERY_SECONDS = 0.01


def eventually(condition: Callable[[], T], timeout: float = 30.0) -> T:
    """The first truthy value that `condition` gives; fails when there is none for `timeout` seconds.

    Blocks the thread: in a coroutine, await `aeventually`.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        _check(deadline, condition, value, timeout)
        time.sleep(EVERY_SECONDS)
    return value


async def aeventually(condition: Callable[[], T | Awaitable[T]], timeout: float = 30.0) -> T:
    """Like `eventually`, leaving the event loop to others meanwhile; `condition` may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        _check(deadline, condition, value, timeout)
        await asyncio.sleep(EVERY_SECONDS)


def _check(deadline: float, condition: Callable[[], object], value: object, timeout: float) -> None:
    if time.monotonic() > deadline:
        name = getattr(condition, "__qualname__", repr(condition))
        raise AssertionError(f"{name} did not become true within {timeout} s; it last gave {value!r}")
