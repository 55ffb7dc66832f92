"""Limited fetcher: picks jobs of entrypoints that have limits, when these may have room for them.

It works beside the fetcher of all other jobs, so that neither holds up the other.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from uuid import UUID

from pgq_orm import operations
from pgq_orm.limits import Limit
from pgq_orm.models import Job
from pgq_orm.operations.limited_picks import Hold, LimitedPick, Verdict
from pgq_orm.store import Store
from pgq_orm.worker.drain import Drain
from pgq_orm.worker.outlook import Outlook
from pgq_orm.worker.rates import Rates
from pgq_orm.worker.replies import ECHO_SECONDS, require_timely
from pgq_orm.worker.service import NEVER, Service
from pgq_orm.worker.slots import Slots


class LimitedFetcher(Service):
    """Asks while slots are free, and for those entrypoints alone that may have jobs to give.

    A limit that is used up is asked about when a job that counted ends here, when a token is due, and now and then: of
    ten workers that wait for the same limit, the one that has its jobs goes on, and the others look in vain once a
    second.
    """

    def __init__(
        self,
        *,
        store: Store,
        worker_id: UUID,
        queues: Sequence[str],
        limits: Mapping[str, Limit],
        batch_size: int,
        poll_seconds: float,
        reply_seconds: float,
        slots: Slots,
        is_open: Callable[[str], bool],
        rates: Rates,
        drain: Drain,
        on_picked: Callable[[list[Job], float], None],
        on_answered: Callable[[], None],
    ) -> None:
        super().__init__()
        self._store = store
        self._worker_id = worker_id
        self._queues = queues
        self._limits = limits
        self._batch_size = batch_size
        self._reply_seconds = reply_seconds
        self._slots = slots
        self._is_open = is_open
        self._rates = rates
        self._drain = drain
        self._on_picked = on_picked
        self._on_answered = on_answered
        self._outlooks = {name: Outlook(poll_seconds) for name in limits}
        self._entrypoints: dict[int, str] = {}  # of the jobs that were picked here and have not ended, by id
        self._quiet_at = 0.0  # monotonic; when the last wake-up's echo is over
        self._is_starved = False

    @property
    def wants_room(self) -> bool:
        """Whether there may be something to pick, and no slot is free for it."""
        return self._is_starved and any(outlook.at <= time.monotonic() for outlook in self._outlooks.values())

    def expect_ready(self) -> None:
        """Jobs may be ready that were not, whoever made them so."""
        self._quiet_at = time.monotonic() + ECHO_SECONDS
        self._look_soon()

    def slot_freed(self) -> None:
        """An attempt ended; worth a look only if the lack of slots is what we wait for."""
        if self._is_starved and self._slots.free() > 0:
            self._look_soon()

    def jobs_ended(self, job_ids: Iterable[int]) -> None:
        """It is written what some jobs came to; worth a look only if others wait for their room."""
        for job_id in job_ids if self._entrypoints else ():
            name = self._entrypoints.pop(job_id, None)
            if name is not None:
                self._outlooks[name].expect_room()
                self.wake()

    async def tick(self) -> float:
        self._is_starved = self._slots.free() <= 0
        if self._is_starved:
            return NEVER
        now = time.monotonic()
        if due := [name for name, outlook in self._outlooks.items() if outlook.at <= now]:
            await self._look(due)
        return self._delay()

    async def _look(self, names: list[str]) -> None:
        for name in names:
            self._outlooks[name].begin_look()
        look = self._drain.begin_look()
        try:
            holds, given = await self._pick(names)
        except BaseException:
            for name in names:
                self._outlooks[name].give_up_look()
            raise
        now = time.monotonic()
        for name, hold in holds.items():
            self._outlooks[name].learn(hold, is_given=name in given, now=now, quiet_at=self._quiet_at)
        held = {name for name, hold in holds.items() if hold.verdict is not Verdict.EMPTY}
        look.end(empty=() if self._is_starved else holds.keys() - held, others=held)

    async def _pick(self, names: list[str]) -> tuple[dict[str, Hold], set[str]]:
        """Answers what holds back the jobs of each entrypoint, and which were given some."""
        random.shuffle(names)  # the first ones get the room
        limits = {name: self._limits[name] for name in names}
        most = sum(limit.most for limit in limits.values())
        holds = dict.fromkeys(names, Hold(Verdict.EMPTY))
        given = set[str]()
        for queues in self._groups():
            room = min(self._slots.room(queue) for queue in queues)
            number = int(min(self._batch_size, self._slots.free(), room, most))
            if number <= 0 or self._is_stopping:
                self._is_starved = True
                continue
            answer = await self._ask(queues, limits, number)
            given.update(job.entrypoint for job in answer.jobs)
            for name, hold in answer.holds.items():
                holds[name] = min(hold, holds[name], key=_urgency)
        return holds, given

    def _groups(self) -> list[list[str]]:
        """The open queues: those without slots or a rate of their own together, the others each for itself."""
        unlimited: list[str] = []
        groups = [unlimited]
        for queue in filter(self._is_open, self._queues):
            if self._slots.room(queue) == inf and not self._rates.has_rate(queue):
                unlimited.append(queue)
            else:
                groups.append([queue])
        random.shuffle(unlimited)  # the first one gets the room
        return [group for group in groups if group]

    async def _ask(self, queues: list[str], limits: Mapping[str, Limit], room: int) -> LimitedPick:
        number = await self._rates.take(queues[0], room)  # a queue with a rate is alone
        if number <= 0:
            wait = Hold(Verdict.THROTTLED, self._rates.wait_seconds(queues[0]))
            return LimitedPick([], dict.fromkeys(limits, wait))
        answer = await self._ask_for(queues, limits, number)
        await self._rates.give_back(queues[0], number - len(answer.jobs))
        return answer

    async def _ask_for(self, queues: list[str], limits: Mapping[str, Limit], number: int) -> LimitedPick:
        asked = time.monotonic()
        with self._slots.asked_for(number, queues[0], on_answered=self._on_answered):
            answer = await self._store.run(operations.pick_limited(self._worker_id, queues, limits, number))
        require_timely(time.monotonic() - asked, self._reply_seconds)
        if answer.jobs:
            self._entrypoints.update((job.id, job.entrypoint) for job in answer.jobs)
            self._on_picked(answer.jobs, asked)
        return answer

    def _look_soon(self) -> None:
        for outlook in self._outlooks.values():
            outlook.expect_ready()
        if self._outlooks:
            self.wake()

    def _delay(self) -> float:
        at = min((outlook.at for outlook in self._outlooks.values()), default=NEVER)
        return max(0.0, at - time.monotonic())


def _urgency(hold: Hold) -> int:
    """What decides of several queues: the reason for which to look again soonest."""
    return list(Verdict).index(hold.verdict)
