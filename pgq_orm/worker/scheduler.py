"""Scheduler: fires schedules at their ticks. Needs no leader: firing compares and sets, so a tick fires once."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta

from pgq_orm import cron, operations
from pgq_orm.errors import RegistrationError
from pgq_orm.journal import tell
from pgq_orm.operations.schedules import ScheduleRow, Tick
from pgq_orm.registry import ScheduleEntry
from pgq_orm.store import Store
from pgq_orm.worker.service import NEVER, Service

logger = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 60.0
"""A schedule that was resumed or moved by somebody else is noticed within this time."""
ON_TIME = timedelta(seconds=5)
"""A tick this late still counts as on time for catch_up="none"."""
BUSY_SECONDS = 1.0
"""How soon to look again at a tick that did not fire: its schedule is held by somebody's transaction, or was fired by
another worker; or the job of an earlier tick is still to be done, for catch_up="all"."""


class Scheduler(Service):
    """Registers the schedules that the application declares, and fires them by the database's clock."""

    def __init__(
        self, *, store: Store, schedules: Iterable[ScheduleEntry], on_fired: Callable[[], None]
    ) -> None:
        super().__init__()
        self._store = store
        self._on_fired = on_fired
        self._schedules = {(entry.entrypoint, entry.expression): entry for entry in schedules}
        self._is_registered = False
        self._is_busy = False
        self._unknown_timezones: dict[int, str] = {}  # by the schedule's id: what has been told of

    async def tick(self) -> float:
        if not self._schedules:
            return NEVER
        if not self._is_registered:
            await self._register()
        rows = [row for row in await self._read() if not row.paused and self._has_timezone(row)]
        due = [row for row in rows if row.next_run <= row.clock]
        if due and await self._fire(due):
            return 0  # there may be more
        self._is_busy = any(row.catch_up == "all" for row in due)
        return min(
            (BUSY_SECONDS if row in due else _seconds_until_due(row) for row in rows),
            default=LONGEST_SLEEP_SECONDS,
        )

    def jobs_ended(self) -> None:
        """Some jobs are done; worth a look only if a tick waits for the one before it."""
        if self._is_busy:
            self.wake()

    async def _register(self) -> None:
        clock = await self._store.run(operations.read_clock())
        entries = [
            (
                entry.entrypoint,
                entry.expression,
                entry.timezone,
                entry.catch_up,
                entry.queue,
                cron.next_run(entry.expression, entry.timezone, clock),
            )
            for entry in self._schedules.values()
        ]
        await self._store.run(operations.register_schedules(entries))
        await self._clean()
        self._is_registered = True

    async def _clean(self) -> None:
        """Removes what the application no longer declares, where it asks for that."""
        names = {entry.entrypoint for entry in self._schedules.values() if entry.clean_old}
        if not names:
            return
        declared = [key for key in self._schedules if key[0] in names]
        for entrypoint, expression in await self._store.run(operations.clean_schedules(declared)):
            tell(
                logger,
                logging.INFO,
                "Removed the schedule %s (%s), which is no longer declared",
                entrypoint,
                expression,
            )

    async def _read(self) -> list[ScheduleRow]:
        names = sorted({entrypoint for entrypoint, _ in self._schedules})
        rows = await self._store.run(operations.read_schedules(names))
        # An expression that this application no longer declares rests until somebody declares it again.
        return [row for row in rows if (row.entrypoint, row.expression) in self._schedules]

    def _has_timezone(self, row: ScheduleRow) -> bool:
        """Whether there is a time zone to reckon in. A row that somebody has misspelt must not stop the others."""
        try:
            cron.check_timezone(row.timezone)
        except RegistrationError as error:
            if self._unknown_timezones.get(row.id) != row.timezone:
                self._unknown_timezones[row.id] = row.timezone
                tell(
                    logger,
                    logging.ERROR,
                    "Schedule %s (%s) rests until its row is corrected, or a worker that declares it starts: %s",
                    row.entrypoint,
                    row.expression,
                    error,
                )
            return False
        self._unknown_timezones.pop(row.id, None)
        return True

    async def _fire(self, due: list[ScheduleRow]) -> bool:
        fired = await self._store.run(operations.fire([_tick(row) for row in due]))
        if fired:
            self._on_fired()
        for row in due:
            if row.id in fired:
                tell(
                    logger,
                    logging.DEBUG,
                    "Fired %s (%s) for %s, job %s",
                    row.entrypoint,
                    row.expression,
                    row.next_run,
                    fired[row.id],
                )
        return bool(fired)


def _tick(row: ScheduleRow) -> Tick:
    """The tick to fire and the one after it, as the schedule's catch_up asks for missed ones."""
    if row.catch_up == "all":
        return Tick(row.id, row.next_run, cron.next_run(row.expression, row.timezone, row.next_run), True)
    following = cron.next_run(row.expression, row.timezone, row.clock)
    is_kept = row.catch_up == "latest" or row.clock - row.next_run <= ON_TIME
    return Tick(row.id, row.next_run, following, is_kept)


def _seconds_until_due(row: ScheduleRow) -> float:
    remaining = (row.next_run - row.clock).total_seconds()
    return min(max(remaining, 0.0), LONGEST_SLEEP_SECONDS)
