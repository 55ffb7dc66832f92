"""The board ends every attempt that it starts, and tells of the slots that get free, in as few words as will do."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.operations.endings import Ended, Outcome, Release
from pgq_orm.registry import Registry
from pgq_orm.statuses import LogStatus
from pgq_orm.worker.board import Board
from tests.executors.jobs import picked_job


class Waiting(AbstractEntrypointExecutor):
    """Waits until the test says so, or not at all."""

    def __init__(self, may_end: asyncio.Event | None) -> None:
        self._may_end = may_end

    async def execute(self, job: Job, context: Context) -> None:
        if self._may_end is not None:
            await self._may_end.wait()


class Failing(Waiting):
    """The same, and fails then."""

    async def execute(self, job: Job, context: Context) -> None:
        await super().execute(job, context)
        raise ValueError("no such thing")


class CancelingItself(Waiting):
    """The same, and cancels its task; it awaits once more where `is_awaiting`."""

    def __init__(self, may_end: asyncio.Event | None, *, is_awaiting: bool) -> None:
        super().__init__(may_end)
        self._is_awaiting = is_awaiting

    async def execute(self, job: Job, context: Context) -> None:
        await super().execute(job, context)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if self._is_awaiting:
            await asyncio.sleep(0)


def board_of(executor: AbstractEntrypointExecutor, freed: list[int]) -> tuple[Board, list[Ended]]:
    registry, ended = Registry(), list[Ended]()
    registry.entrypoint(picked_job().entrypoint)(lambda job: None)
    unasked: Callable[..., Any] = NotImplemented
    board = Board(
        capacity=10,
        registry=registry,
        executor_of=lambda job: executor,
        resources={},
        find_schedule=unasked,
        find_parents=unasked,
        has_ended=unasked,
        record=ended.append,
        on_free=freed.append,
    )
    return board, ended


def jobs(number: int) -> list[Job]:
    return [replace(picked_job(), id=job_id) for job_id in range(number)]


async def test_attempts_that_end_in_the_same_turn_are_told_of_at_once() -> None:
    may_end, freed = asyncio.Event(), list[int]()
    board, ended = board_of(Waiting(may_end), freed)
    board.start(jobs(10), 0.0)
    await asyncio.sleep(0)
    assert (board.free, freed) == (0, [])
    may_end.set()
    await board.finish()
    await asyncio.sleep(0)
    assert len(ended) == board.free == 10
    assert freed == [10]


async def test_those_that_end_later_are_told_of_later() -> None:
    may_end, freed = asyncio.Event(), list[int]()
    board, _ = board_of(Waiting(may_end), freed)
    for _ in range(3):
        board.start(jobs(2), 0.0)
        may_end.set()
        await board.finish()
        await asyncio.sleep(0)
        may_end.clear()
    assert freed == [2, 2, 2]


async def test_attempts_that_await_nothing_are_told_of_as_well() -> None:
    freed: list[int] = []
    board, ended = board_of(Waiting(None), freed)
    board.start(jobs(10), 0.0)
    await board.finish()
    await asyncio.sleep(0)
    assert (len(ended), sum(freed)) == (10, 10)


def event(is_awaited: bool) -> asyncio.Event | None:
    return asyncio.Event() if is_awaited else None


async def ended_of(executor: AbstractEntrypointExecutor, may_end: asyncio.Event | None) -> list[Ended]:
    """What each of three attempts came to, all of which have left the board."""
    freed: list[int] = []
    board, ended = board_of(executor, freed)
    board.start(jobs(3), 0.0)
    if may_end is not None:
        await asyncio.sleep(0)
        may_end.set()
    await board.finish()
    await asyncio.sleep(0)
    assert (board.running, sum(freed)) == (0, 3)
    return ended


def statuses(ended: list[Ended]) -> list[str]:
    return [each.status for each in ended if isinstance(each, Outcome)]


later = pytest.mark.parametrize("is_awaited", [False, True], ids=["at once", "later"])


@pytest.fixture
def refusing_filter() -> Iterator[None]:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter's own fault")

    logger = logging.getLogger("pgq_orm.worker.board")
    logger.addFilter(refuse)
    yield
    logger.removeFilter(refuse)


@later
@pytest.mark.usefixtures("refusing_filter")
async def test_every_attempt_ends_although_none_can_be_told_in_the_log(is_awaited: bool) -> None:
    may_end = event(is_awaited)
    assert statuses(await ended_of(Failing(may_end), may_end)) == [LogStatus.EXCEPTION] * 3


@pytest.mark.usefixtures("refusing_filter")
async def test_what_is_left_behind_is_given_back_although_that_cannot_be_told() -> None:
    may_end = asyncio.Event()

    class Stubborn(Waiting):
        async def execute(self, job: Job, context: Context) -> None:
            while not may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await may_end.wait()

    board, ended = board_of(Stubborn(None), [])
    board.start(jobs(3), 0.0)
    await asyncio.sleep(0)
    await board.abandon(0.01)
    assert ended == [Release(job.id, job.lease) for job in jobs(3)]
    may_end.set()
    await board.finish()


async def test_an_error_of_the_worker_ends_its_job_and_keeps_no_other_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board, ended = board_of(Waiting(None), [])
    first, second = jobs(2)
    board.start([replace(first, entrypoint="one that nobody registered"), second], 0.0)
    await board.finish()
    await asyncio.sleep(0)
    assert statuses(ended) == [LogStatus.EXCEPTION, LogStatus.SUCCESSFUL]
    assert "Job 0 (one that nobody registered) failed in its worker, not in its handler" in caplog.text


@later
async def test_a_handler_that_cancels_its_own_task_has_failed(is_awaited: bool) -> None:
    may_end = event(is_awaited)
    executor = CancelingItself(may_end, is_awaiting=True)
    assert statuses(await ended_of(executor, may_end)) == [LogStatus.EXCEPTION] * 3


@later
async def test_one_that_returns_nevertheless_has_succeeded(is_awaited: bool) -> None:
    may_end = event(is_awaited)
    executor = CancelingItself(may_end, is_awaiting=False)
    assert statuses(await ended_of(executor, may_end)) == [LogStatus.SUCCESSFUL] * 3


@pytest.mark.parametrize("seconds", [0.0, 0.05], ids=["at once", "after a while"])
def test_what_is_cancelled_with_everything_else_in_the_loop_is_given_back(seconds: float) -> None:
    class Tidy(Waiting):
        async def execute(self, job: Job, context: Context) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(seconds)

    recording: list[list[Ended]] = []

    async def forget() -> None:
        board, recorded = board_of(Tidy(None), [])
        recording.append(recorded)
        board.start(jobs(3), 0.0)
        await asyncio.sleep(0)

    asyncio.run(forget())
    [ended] = recording
    assert sorted(ended) == [Release(job.id, job.lease) for job in jobs(3)]
