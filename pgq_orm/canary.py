"""Canary: tells whether it is the event loop that is ending, when a task was cancelled and nobody says by whom."""

import asyncio
from weakref import WeakKeyDictionary, WeakSet

_sitting: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet["Canary"]] = WeakKeyDictionary()


class Canary:
    """A task that does nothing. Who ends a loop cancels everything in it at once, and nobody else cancels this one."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def is_struck(self) -> bool:
        """Whether everything in the loop was cancelled since it was put up."""
        return self._task is not None and self._task.cancelling() > 0

    def put_up(self) -> None:
        """Has it there, if it is not. Call it in the loop."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(_sit(), name="pgq-canary")
            _sitting.setdefault(loop, WeakSet()).add(self)

    def take_down(self) -> None:
        """Lets it go: there is nothing left to be cancelled."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


def is_loop_ending() -> bool:
    """Whether everything in the running loop was cancelled, as far as somebody has put up a canary there."""
    return any(canary.is_struck for canary in _sitting.get(asyncio.get_running_loop(), ()))


async def _sit() -> None:
    await asyncio.get_running_loop().create_future()
