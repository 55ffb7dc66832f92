"""Standstill: tells of an event loop that does not turn, because a handler blocks it, and of what it stands at."""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from pgq_orm.journal import tell
from pgq_orm.models import Job

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often the loop is asked to turn: of a handler that blocks it for twice as long is told in any case."""
MOST_NAMES = 5
"""How many of the jobs that run are named."""


_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Standstill:
    """Watches the loop on which it is made, from the loop of another thread. Costs it a call every few seconds."""

    def __init__(self, running: Callable[[], list[Job]]) -> None:
        self._running = running
        self._home = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._turned = time.monotonic()  # written by the loop that is watched

    async def watch(self) -> None:
        """Watches until cancelled, or until the loop is closed."""
        while not self._home.is_closed():
            asked = time.monotonic()
            try:
                self._home.call_soon_threadsafe(self._note)
            except RuntimeError:  # it was closed just now
                return
            await asyncio.sleep(LOOK_SECONDS)
            if self._turned < asked:
                await self._tell_of(asked)

    def _note(self) -> None:
        self._turned = time.monotonic()

    async def _tell_of(self, asked: float) -> None:
        tell(
            logger,
            logging.WARNING,
            "The event loop has not turned for %.0f s: a handler blocks it at %s; until it goes on no other async job "
            "does (running: %s). Make it a plain `def`, which has a thread, or await what takes long",
            time.monotonic() - asked,
            self._place(),
            self._names(),
        )
        while self._turned < asked and not self._home.is_closed():  # noqa: ASYNC110 - set in another loop
            await asyncio.sleep(LOOK_SECONDS / 10)
        tell(logger, logging.WARNING, "The event loop turns again, after %.0f s", self._turned - asked)

    def _place(self) -> str:
        """The line of the handler, which our own code called; the innermost one if it is not to be found."""
        innermost = frame = sys._current_frames().get(self._thread_id)
        while frame is not None and frame.f_back is not None:
            if frame.f_back.f_code.co_filename.startswith(_PACKAGE):
                return _place_of(frame)
            frame = frame.f_back
        return "an unknown place" if innermost is None else _place_of(innermost)

    def _names(self) -> str:
        jobs = self._running()
        named = ", ".join(f"{job.entrypoint} {job.id}" for job in jobs[:MOST_NAMES])
        others = len(jobs) - MOST_NAMES
        return f"{named} and {others} more" if others > 0 else named or "none"


def _place_of(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
