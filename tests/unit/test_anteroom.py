"""The anteroom holds picked jobs for the slots that are about to get free, and none for longer than a moment."""

import asyncio
from dataclasses import replace

import pytest

from pgq_orm.models import Job
from pgq_orm.operations.endings import Release
from pgq_orm.worker import anteroom
from pgq_orm.worker.anteroom import SPAN_SECONDS, Anteroom, Pace
from tests.executors.jobs import picked_job


class Slots:
    """A board whose attempts end when the test says so."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.running: list[int] = []
        self.released: list[int] = []
        self.anteroom = Anteroom(
            free=lambda: self.capacity - len(self.running), start=self._start, give_back=self._give_back
        )

    async def add(self, jobs: list[Job], picked: float) -> None:
        self.anteroom.add(jobs, picked)
        await asyncio.sleep(0)  # they start in the loop's next turn

    def end(self) -> int:
        job_id = self.running.pop(0)
        self.anteroom.slots_freed(1)
        return job_id

    def _start(self, jobs: list[Job], picked: float) -> None:
        self.running += [job.id for job in jobs]

    def _give_back(self, release: Release) -> None:
        self.released.append(release.id)


@pytest.fixture
def slots() -> Slots:
    return Slots(2)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anteroom, "PATIENCE_SECONDS", 0.01)


def jobs(*ids: int, queue: str = "default") -> list[Job]:
    return [replace(picked_job(), id=job_id, queue=queue) for job_id in ids]


async def test_jobs_start_in_their_order_as_slots_get_free(slots: Slots) -> None:
    await slots.add(jobs(1, 2, 3, 4), 0.0)
    await slots.add(jobs(5), 0.0)
    assert (slots.running, len(slots.anteroom)) == ([1, 2], 3)
    assert [slots.end() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert (slots.running, len(slots.anteroom)) == ([], 0)


async def test_the_next_pick_is_asked_for_before_the_jobs_of_the_last_one_start(slots: Slots) -> None:
    slots.anteroom.add(jobs(1, 2, 3), 0.0)
    assert (slots.running, len(slots.anteroom)) == ([], 3)
    await asyncio.sleep(0)
    assert (slots.running, len(slots.anteroom)) == ([1, 2], 1)


def test_nothing_starts_in_a_loop_that_is_ending(slots: Slots) -> None:
    async def end() -> None:
        # in the loop's last turn
        asyncio.get_running_loop().call_soon(slots.anteroom.add, jobs(1, 2), 0.0)

    asyncio.run(end())
    assert (slots.running, len(slots.anteroom)) == ([], 2)
    slots.anteroom.close()
    assert slots.released == [1, 2]


async def test_without_a_pace_nothing_is_picked_ahead(slots: Slots) -> None:
    assert slots.anteroom.ahead == 0
    await slots.add(jobs(1, 2, 3), 0.0)
    assert slots.anteroom.ahead == 0


async def test_with_a_pace_half_of_what_is_expected_is_picked_at_a_time(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "expected", lambda *_: 4)
    assert slots.anteroom.ahead == 4
    await slots.add(jobs(1, 2, 3, 4), 0.0)
    assert slots.anteroom.ahead == 2
    await slots.add(jobs(5), 0.0)
    assert slots.anteroom.ahead == 0


async def test_attempts_that_end_at_once_let_the_next_in_after_those_that_came_with_them(
    slots: Slots,
) -> None:
    started: list[int] = []
    await slots.add(jobs(1, 2), 0.0)

    def start_and_end(jobs: list[Job], picked: float) -> None:
        for job in jobs:
            started.append(job.id)
            slots.anteroom.slots_freed(1)

    slots.anteroom._start = start_and_end
    await slots.add(jobs(3, 4, 5), 0.0)
    assert started == []
    slots.end()
    assert started == [3, 4, 5]
    slots.running.clear()
    await slots.add(jobs(6, 7, 8), 0.0)
    assert started == [3, 4, 5, 6, 7, 8]


async def test_what_waits_too_long_is_given_back(slots: Slots, impatient: None) -> None:
    await slots.add(jobs(1, 2, 3, 4), 0.0)
    await asyncio.sleep(0.05)
    assert (slots.running, slots.released, len(slots.anteroom)) == ([1, 2], [3, 4], 0)


async def test_what_came_later_may_wait_longer(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    # much longer than a busy machine lets us oversleep
    monkeypatch.setattr(anteroom, "PATIENCE_SECONDS", 2.0)
    await slots.add(jobs(1, 2, 3), 0.0)
    for _ in range(5):
        await asyncio.sleep(0.5)
        slots.end()
        await slots.add(jobs(4), 0.0)
    assert slots.released == []


async def test_once_closed_it_lets_nobody_wait(slots: Slots) -> None:
    await slots.add(jobs(1, 2, 3), 0.0)
    slots.anteroom.close()
    await slots.add(jobs(4), 0.0)
    slots.end()
    await slots.add(jobs(5, 6), 0.0)
    assert (slots.running, slots.released) == ([2, 5], [3, 4, 6])


async def test_a_job_leaves_when_it_is_to_stop_or_its_lease_is_lost(slots: Slots) -> None:
    await slots.add(jobs(1, 2, 3, 4, 5), 0.0)
    lease = picked_job().lease
    assert slots.anteroom.holds(3, lease)
    assert not slots.anteroom.holds(3, lease + 1)
    slots.anteroom.drop(3, lease, give_back=True)
    slots.anteroom.drop(4, lease, give_back=False)
    slots.anteroom.drop(5, lease + 1, give_back=True)
    assert not slots.anteroom.holds(3, lease)
    assert (slots.released, len(slots.anteroom)) == ([3], 1)


async def test_it_tells_how_many_of_each_queue_wait(slots: Slots) -> None:
    await slots.add([*jobs(1, 2, 3), *jobs(4, 5, queue="slow")], 0.0)
    assert (slots.anteroom.waiting_of("default"), slots.anteroom.waiting_of("slow")) == (1, 2)
    slots.end()
    slots.anteroom.drop(4, picked_job().lease, give_back=False)
    assert (slots.anteroom.waiting_of("default"), slots.anteroom.waiting_of("slow")) == (0, 1)
    slots.anteroom.give_back()
    assert slots.anteroom.waiting_of("slow") == 0


def paced(*ends_by_span: int) -> int:
    """What is expected after spans in which so many attempts have ended."""
    pace = Pace()
    for span, ends in enumerate(ends_by_span):
        for _ in range(ends):
            pace.count(1, (100 + span) * SPAN_SECONDS + 0.001)
    return pace.expected((100 + len(ends_by_span)) * SPAN_SECONDS + 0.001)


def test_a_steady_pace_is_expected_to_go_on() -> None:
    assert paced(10, 10, 10) == 20
    assert paced(10, 30, 10) == 20


def test_a_single_crowd_is_no_pace() -> None:
    assert paced(50) == 0
    assert paced(0, 50) == 0
    assert paced(50, 0) == 0


def test_a_pace_that_was_is_forgotten() -> None:
    assert paced(10, 10, 0) == 0
    assert paced(10, 10, *[0] * 100) == 0
