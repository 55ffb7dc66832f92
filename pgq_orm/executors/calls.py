"""Calls: what is called in a thread, and how the worker's loop waits for its end."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from pgq_orm.canary import is_loop_ending

P = ParamSpec("P")
T = TypeVar("T")


class HandlerExited(Exception):  # noqa: N818 - what happened, not a fault of the worker
    """A sync handler raised what a future cannot carry out of its thread, such as SystemExit or StopIteration."""


EXITS = (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration)
"""What would otherwise end the worker, or never arrive."""


def catching_exits(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls; raises HandlerExited in place of such an exit."""
    try:
        return call(*args, **kwargs)
    except EXITS as error:
        raise HandlerExited(f"the handler raised {type(error).__name__}({error})") from error


class Call(asyncio.Future[T]):
    """A call in a thread. Await it to wait until it has really ended: being cancelled stops it only before it begins.

    Whoever is cancelled meanwhile is told only then. `interrupt` is what may make it end sooner, called from the loop's
    thread at the first request. A further one leaves the thread behind, if the loop itself is ending.
    """

    def __init__(self, call: Callable[[], T], interrupt: Callable[[], object] | None = None) -> None:
        super().__init__()
        self._call = call
        self._interrupt = interrupt
        self._surroundings = copy_context()
        self._is_asked_to_stop = False
        self._returned: list[T] = []
        self._raised: BaseException | None = None

    @property
    def has_returned(self) -> bool:
        """Whether it has ended, and not by raising."""
        return self.done() and not self.cancelled() and self.exception() is None

    def cancel(self, msg: object = None) -> bool:
        if self.done():
            return False
        if self._is_asked_to_stop:
            # In the next turn: whoever ends the loop cancels one after the other, and the canary perhaps after us.
            self.get_loop().call_soon(self._leave_behind, msg)
            return False
        self._is_asked_to_stop = True
        if self._interrupt is not None:
            self._interrupt()
        return False  # so that a task which awaits this notes its cancellation, and goes on to wait

    def run(self) -> None:
        """Calls, unless it was asked to stop before that. In the thread."""
        if self._is_asked_to_stop:
            return
        try:
            self._returned.append(self._surroundings.run(catching_exits, self._call))
        except BaseException as error:
            self._raised = error
            del self  # of which its traceback would otherwise make a cycle

    def settle(self) -> None:
        """Tells those who wait how it has ended, or that it never will begin. In the loop's thread."""
        if self.done():
            return  # left behind
        if self._raised is not None:
            self.set_exception(self._raised)
        elif self._returned:
            self.set_result(self._returned[0])
        else:
            super().cancel()

    def _leave_behind(self, msg: object) -> None:
        if is_loop_ending():
            super().cancel(msg)
