"""A floor lets picks begin where the last ones ended, and forgets nothing below it."""

from collections.abc import Iterable
from dataclasses import replace

from pgq_orm.models import Job
from pgq_orm.operations.picks import BEFORE_ALL_IDS, PRIORITIES, WHOLE_QUEUE, Stretch
from pgq_orm.worker.floors import (
    CHEAP_SECONDS,
    MOST_PRIORITIES,
    MOST_SECONDS,
    SETTLE_SECONDS,
    SWEEP_SHARE,
    TRUST_SECONDS,
    Floor,
)
from tests.executors.jobs import picked_job

HIGHEST, LOWEST = PRIORITIES[-1], PRIORITIES[0]


def jobs(*places: tuple[int, int]) -> list[Job]:
    """Jobs of (priority, id)."""
    return [replace(picked_job(), id=job_id, priority=priority) for priority, job_id in places]


def settled(*picks: Iterable[Job], seconds: float = 1.0) -> tuple[Floor, float]:
    """A floor that has just swept for so long, with a backlog, and the time until which all picks have settled."""
    floor, now = Floor(), 100.0
    for picked in picks:
        stretches = floor.stretches(now)
        floor.looked(stretches, list(picked), seconds=seconds, now=now, is_full=True)
    for _ in range(3):
        floor.stretches(now)
        now += SETTLE_SECONDS
    return floor, now


def test_the_first_look_begins_at_the_start() -> None:
    assert Floor().stretches(0.0) is WHOLE_QUEUE


def test_a_backlog_is_picked_past_what_was_picked_before() -> None:
    floor, now = settled(jobs((0, 7), (0, 9)))
    assert floor.stretches(now) == [
        Stretch(HIGHEST, 1, BEFORE_ALL_IDS),
        Stretch(0, 0, 9),
        Stretch(-1, LOWEST, BEFORE_ALL_IDS),
    ]


def test_each_priority_has_a_floor_of_its_own() -> None:
    floor, now = settled(jobs((HIGHEST, 4), (3, 8), (2, 6)), jobs((2, 11), (LOWEST, 5)))
    assert floor.stretches(now) == [
        Stretch(HIGHEST, HIGHEST, 4),
        Stretch(HIGHEST - 1, 4, BEFORE_ALL_IDS),
        Stretch(3, 3, 8),
        Stretch(2, 2, 11),
        Stretch(1, LOWEST + 1, BEFORE_ALL_IDS),
        Stretch(LOWEST, LOWEST, 5),
    ]


def test_an_id_raises_the_floor_only_when_smaller_ones_are_committed() -> None:
    floor = Floor()
    floor.stretches(100.0)
    floor.looked(WHOLE_QUEUE, jobs((0, 9)), seconds=10.0, now=100.0, is_full=True)
    for passed in (0.1, 0.5, 0.9):
        assert floor.stretches(100.0 + passed * SETTLE_SECONDS)[0] == Stretch(HIGHEST, LOWEST, BEFORE_ALL_IDS)


def test_a_sweep_comes_again_after_a_multiple_of_what_it_took() -> None:
    floor, _ = settled(jobs((0, 9)), seconds=0.2)
    assert floor.stretches(100.0 + 0.2 / SWEEP_SHARE - 0.01) is not WHOLE_QUEUE
    assert floor.stretches(100.0 + 0.2 / SWEEP_SHARE) is WHOLE_QUEUE


def test_a_sweep_that_was_held_up_does_not_put_off_the_next_for_long() -> None:
    floor, _ = settled(jobs((0, 9)), seconds=60.0)
    assert floor.stretches(100.0 + MOST_SECONDS - 0.01) is not WHOLE_QUEUE
    assert floor.stretches(100.0 + MOST_SECONDS) is WHOLE_QUEUE


def test_what_turns_up_below_the_floor_is_looked_for_at_once() -> None:
    floor, now = settled(jobs((0, 9)))
    floor.sweep_soon()
    assert floor.stretches(now) is WHOLE_QUEUE


def test_without_a_backlog_every_look_begins_at_the_start_if_that_is_cheap() -> None:
    floor, now = Floor(), 100.05
    floor.looked(floor.stretches(100.0), jobs((0, 9)), seconds=CHEAP_SECONDS * 0.9, now=100.0, is_full=True)
    assert floor.stretches(now) is not WHOLE_QUEUE
    floor.looked(floor.stretches(now), [], seconds=0.001, now=now, is_full=False)
    assert not floor.is_swept_out
    assert floor.stretches(now) is WHOLE_QUEUE
    floor.looked(WHOLE_QUEUE, [], seconds=0.001, now=now, is_full=False)
    assert floor.is_swept_out
    assert floor.stretches(now) is WHOLE_QUEUE


def test_without_a_backlog_a_dear_sweep_still_waits_its_turn() -> None:
    floor, now = settled(jobs((0, 9)), seconds=0.2)
    floor.looked(floor.stretches(now), [], seconds=0.001, now=now, is_full=False)
    assert not floor.is_swept_out
    assert floor.stretches(now) is not WHOLE_QUEUE
    assert floor.sweeps_at == 100.0 + 0.2 / SWEEP_SHARE


def test_a_queue_of_countless_priorities_is_walked_from_the_start() -> None:
    floor, now = settled(jobs(*((-n, n + 1) for n in range(MOST_PRIORITIES + 1))))
    assert floor.stretches(now) is WHOLE_QUEUE


def test_what_a_sweep_has_passed_at_higher_priorities_is_not_walked_again() -> None:
    """Jobs that are not for this worker, or that a limit holds back, would cost every look as much as the sweep."""
    floor, now = settled(jobs((3, 7), (0, 9)))
    floor.sweep_soon()
    floor.looked(floor.stretches(now), jobs((0, 10), (0, 11)), seconds=1.0, now=now, is_full=True)
    assert floor.stretches(now) == [
        Stretch(HIGHEST, 4, 9),
        Stretch(3, 3, 9),
        Stretch(2, 1, 9),
        Stretch(0, 0, 9),
        Stretch(-1, LOWEST, BEFORE_ALL_IDS),
    ]


def test_a_sweep_that_found_no_end_has_passed_only_what_lies_before_its_last_job() -> None:
    floor, now = settled(jobs((0, 9)))
    floor.sweep_soon()
    floor.looked(floor.stretches(now), jobs((5, 1), (2, 3)), seconds=1.0, now=now, is_full=True)
    assert floor.stretches(now) == [
        Stretch(HIGHEST, 3, 9),
        Stretch(2, 1, BEFORE_ALL_IDS),
        Stretch(0, 0, 9),
        Stretch(-1, LOWEST, BEFORE_ALL_IDS),
    ]


def test_after_a_long_walk_in_vain_one_asks_first() -> None:
    """Each job of others that is enqueued wakes this worker, and would make it walk over all that wait."""
    floor = Floor()
    assert not floor.asks_first(0.0)
    floor.looked(floor.stretches(0.0), [], seconds=CHEAP_SECONDS, now=0.0, is_full=False)
    assert floor.asks_first(0.0)
    floor.asked(is_empty=True, seconds=0.001, now=0.0)
    assert floor.is_swept_out
    assert floor.asks_first(0.0)
    floor.looked(floor.stretches(0.0), jobs((0, 9)), seconds=CHEAP_SECONDS, now=0.0, is_full=False)
    assert not floor.asks_first(0.0)


def test_where_asking_takes_as_long_as_walking_one_does_not_ask() -> None:
    """The time goes by on the way to the database."""
    floor = Floor()
    floor.looked(floor.stretches(0.0), [], seconds=0.05, now=0.0, is_full=False)
    floor.asked(is_empty=False, seconds=0.05, now=0.0)
    assert not floor.asks_first(1.0)
    assert floor.asks_first(TRUST_SECONDS)
