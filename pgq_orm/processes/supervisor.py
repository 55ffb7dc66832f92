"""Supervisor: keeps several worker processes at work, and ends with them."""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from datetime import timedelta

from pgq_orm.errors import ProcessesFailed
from pgq_orm.journal import tell
from pgq_orm.processes.health import Health
from pgq_orm.processes.signals import SIGNALS
from pgq_orm.processes.ward import Farewell, Ward
from pgq_orm.processes.worker import Program
from pgq_orm.retries import Backoff
from pgq_orm.worker.allowance import Ending

logger = logging.getLogger(__name__)

AFTER_DEATH = Backoff(initial=timedelta(seconds=0.5), maximum=timedelta(seconds=30))
SETTLED_SECONDS = 60.0
"""How long a process must have lived for its death not to count as one in a row."""
HEALTH_SECONDS = 5.0
STILLBIRTHS = 3
"""Deaths without a word before any process has ever got to work, after which there is no use in trying."""


class Supervisor:
    """Runs a program in several processes and replaces those that end, until it is told to end or all have drained."""

    def __init__(self, program: Program, processes: int) -> None:
        self._program = program
        self._wards: list[Ward | None] = [None] * processes  # None while it is being replaced, and at its end
        self._is_proven = False  # some process got to work
        self._is_broken = False  # some process did not end in good order when it was told to
        self._failure: ProcessesFailed | None = None
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> int:
        """Works until all processes have ended for good; answers the exit status.

        SIGTERM or SIGINT once: every process finishes what it runs. Twice: everything is given back now.
        Raises ProcessesFailed if none of them can get to work.
        """
        asyncio.run(self._run())
        if self._failure is not None:
            raise self._failure
        return os.EX_TEMPFAIL if self._is_broken else os.EX_OK

    def health(self) -> Sequence[Health]:
        """How each process fares. Call it from another thread."""
        if self._loop is None:
            return []
        return asyncio.run_coroutine_threadsafe(self._health(), self._loop).result(HEALTH_SECONDS)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._end)
        try:
            await asyncio.gather(*(self._keep(slot) for slot in range(len(self._wards))))
        finally:
            self._loop = None

    async def _keep(self, slot: int) -> None:
        """Sees to it that a process runs in this slot."""
        failures = 0
        while not self._ending.is_set():
            ward = self._wards[slot] = Ward(self._program, f"pgq-{slot + 1}")
            began = time.monotonic()
            farewell = await ward.live()
            self._wards[slot] = None
            self._is_proven |= ward.has_started
            if farewell.ending is Ending.drained:
                return
            if self._ending.is_set():
                self._take_leave(ward, farewell)
                return
            if farewell.ending is not None:
                tell(logger, logging.DEBUG, "Process %s is replaced", ward.name)
                failures = 0
                continue
            failures = 1 if time.monotonic() - began > SETTLED_SECONDS else failures + 1
            if self._is_hopeless(farewell, failures):
                self._give_up(farewell)
                return
            delay = AFTER_DEATH.delay_seconds(failures)
            tell(
                logger,
                logging.ERROR,
                "Process %s: %s; the next one in %.1f s",
                ward.name,
                farewell.in_words(),
                delay,
            )
            await self._pause(delay)

    def _take_leave(self, ward: Ward, farewell: Farewell) -> None:
        if farewell.ending is None and self._failure is None:
            self._is_broken = True
            tell(logger, logging.WARNING, "Process %s: %s", ward.name, farewell.in_words())

    def _is_hopeless(self, farewell: Farewell, failures: int) -> bool:
        """Whether another process would fail like this one: none ever worked, and this one says why it cannot."""
        if self._is_proven or any(ward.has_started for ward in self._wards if ward is not None):
            return False
        return farewell.complaint is not None or failures >= STILLBIRTHS

    def _give_up(self, farewell: Farewell) -> None:
        if self._failure is None:
            self._failure = ProcessesFailed(farewell.in_words())
        self._ending.set()
        for ward in filter(None, self._wards):
            ward.kill()  # it holds no job: no worker has been registered

    async def _pause(self, delay: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), delay)
        except TimeoutError:
            return

    def _end(self) -> None:
        if self._ending.is_set():
            tell(logger, logging.WARNING, "Stopping now: what runs is interrupted and given back")
            for ward in filter(None, self._wards):
                ward.stop()
        else:
            tell(logger, logging.INFO, "Finishing what runs; the same signal again stops at once")
            self._ending.set()
            for ward in filter(None, self._wards):
                ward.finish()

    async def _health(self) -> list[Health]:
        return list(
            await asyncio.gather(*(self._health_of(slot, ward) for slot, ward in enumerate(self._wards)))
        )

    async def _health_of(self, slot: int, ward: Ward | None) -> Health:
        if ward is None:
            return Health(f"pgq-{slot + 1}", None, None, is_ending=self._ending.is_set())
        return await ward.health()
