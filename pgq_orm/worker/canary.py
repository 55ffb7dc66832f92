"""Canary: tells whether it is the event loop that is ending, when a task was cancelled and nobody says by whom."""

import asyncio


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
            self._task = asyncio.get_running_loop().create_task(_sit(), name="pgq-canary")

    def take_down(self) -> None:
        """Lets it go: there is nothing left to be cancelled."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


async def _sit() -> None:
    await asyncio.get_running_loop().create_future()
