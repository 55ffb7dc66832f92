"""Twins: what is called, to be awaited as well, under its name with an `a` before it."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


def awaited(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The same to be awaited, in the thread, and so on the connection, that the ORM's own async methods use."""
    in_its_thread = sync_to_async(function, thread_sensitive=True)

    @wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_its_thread(*args, **kwargs)

    twin.__name__ = f"a{function.__name__}"
    twin.__qualname__ = f"{function.__qualname__.removesuffix(function.__name__)}a{function.__name__}"
    return twin
