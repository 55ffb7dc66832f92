"""Health: how a worker's process fares at one moment, in the words of a probe."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from pgq_orm.worker.vitals import Vitals

BLOCKED_SECONDS = 15.0
"""How long the event loop may stand still before the process counts as dead."""
BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """What a process answers when asked how it fares."""

    name: str
    pid: int | None
    """None while the process is being replaced."""
    vitals: Vitals | None
    """None before the worker starts, and of a process that does not answer."""
    blocked_seconds: float = 0.0
    """How long its event loop has stood still, because of a handler that blocks it."""
    is_ending: bool = False
    is_answering: bool = True

    @property
    def is_alive(self) -> bool:
        """Whether the process does not need to be killed."""
        return self.is_answering and self.blocked_seconds < BLOCKED_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs: started, not ending, and heard by the database."""
        return self.is_alive and not self.is_ending and self.vitals is not None and self.vitals.is_working

    def as_json(self) -> dict[str, Any]:
        """The same, ready to be dumped."""
        vitals = self.vitals or Vitals()
        return {
            "name": self.name,
            "pid": self.pid,
            "worker_id": None if vitals.worker_id is None else str(vitals.worker_id),
            "alive": self.is_alive,
            "ready": self.is_ready,
            "ending": self.is_ending,
            "running": vitals.running,
            "slots": vitals.slots,
            "heartbeat_age": _rounded(vitals.heartbeat_age),
            "database": vitals.is_database_reachable,
            "blocked_seconds": _rounded(self.blocked_seconds),
        }


class Pulse:
    """Notes once a second that an event loop turns, from the first time that somebody wants to know."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turned: float | None = None  # monotonic; written by the loop's thread once started

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to watch a loop. Call it from any thread; starting again changes nothing."""
        if self._loop is not loop:
            self._loop = loop
            self._turned = time.monotonic()
            loop.call_soon_threadsafe(self._beat, loop)

    def stop(self) -> None:
        """Forgets the loop, which is about to end."""
        self._loop = self._turned = None

    @property
    def blocked_seconds(self) -> float:
        """How long the loop has stood still."""
        turned = self._turned
        return 0.0 if turned is None else max(0.0, time.monotonic() - turned - BEAT_SECONDS)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is loop:
            self._turned = time.monotonic()
            loop.call_later(BEAT_SECONDS, self._beat, loop)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
