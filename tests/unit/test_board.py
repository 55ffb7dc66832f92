"""The board tells of the slots that get free, in as few words as will do."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pgq_orm.executors import AbstractEntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.operations.endings import Ended
from pgq_orm.registry import Registry
from pgq_orm.worker.board import Board
from tests.executors.jobs import picked_job


class Waiting(AbstractEntrypointExecutor):
    """Waits until the test says so, or not at all."""

    def __init__(self, may_end: asyncio.Event | None) -> None:
        self._may_end = may_end

    async def execute(self, job: Job, context: Context) -> None:
        if self._may_end is not None:
            await self._may_end.wait()


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
