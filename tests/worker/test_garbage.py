"""Garbage: jobs come and go without reference cycles, so that nothing is left to Python's collector."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Context, Job
from pgq_orm.processes import garbage
from pgq_orm.worker.settings import QueueExecutionMode
from tests.eventually import aeventually
from tests.worker.queues import Queue

drain = QueueExecutionMode.drain


class Mark:
    """Something that lives as long as the attempt's own context variables."""


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_an_attempt_that_has_ended_is_gone_at_once(
    pgq: PgQueuer, queue: Queue, without_collector: None
) -> None:
    mark: ContextVar[Mark] = ContextVar("mark")
    marks: list[weakref.ref[Mark]] = []

    @pgq.entrypoint("work")
    async def work(job: Job, context: Context) -> None:
        mark.set(Mark())
        marks.append(weakref.ref(mark.get()))
        with context.cancellation:
            await asyncio.sleep(0.001)

    queue.enqueue("work", [None] * 50)
    await pgq.run(mode=drain)
    assert len(marks) == 50
    assert [alive for ref in marks if (alive := ref())] == []


async def test_so_is_one_that_ran_in_a_thread(pgq: PgQueuer, queue: Queue, without_collector: None) -> None:
    mark: ContextVar[Mark] = ContextVar("mark")
    marks: list[weakref.ref[Mark]] = []

    @pgq.entrypoint("work")
    def work(job: Job, context: Context) -> None:
        mark.set(Mark())
        marks.append(weakref.ref(mark.get()))

    queue.enqueue("work", [None] * 50)
    await pgq.run(mode=drain)
    assert len(marks) == 50
    await aeventually(lambda: not any(ref() for ref in marks))  # as soon as the thread has let go of the last


def leave(marks: list[weakref.ref[Mark]]) -> None:
    """Fails with a mark among the variables of the traceback."""
    mark = Mark()
    marks.append(weakref.ref(mark))
    raise ValueError("no such thing")


async def test_so_is_one_that_failed(pgq: PgQueuer, queue: Queue, without_collector: None) -> None:
    marks: list[weakref.ref[Mark]] = []

    @pgq.entrypoint("at once")
    async def fail_at_once(job: Job) -> None:
        leave(marks)

    @pgq.entrypoint("later")
    async def fail_later(job: Job) -> None:
        await asyncio.sleep(0.001)
        leave(marks)

    @pgq.entrypoint("in a thread")
    def fail_in_a_thread(job: Job) -> None:
        leave(marks)

    queue.enqueue(["at once", "later", "in a thread"] * 20, [None] * 60)  # type: ignore[arg-type]
    await pgq.run(mode=drain)
    assert len(marks) == 60
    await aeventually(lambda: not any(ref() for ref in marks))


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize(
    ("before", "after"),
    [(700, garbage.YOUNG_OBJECTS), (50_000, 50_000), (0, 0)],
    ids=["default", "higher", "off"],
)
def test_a_worker_s_process_collects_less_often_unless_the_application_says_otherwise(
    thresholds: None, before: int, after: int
) -> None:
    gc.set_threshold(before)
    garbage.settle()
    assert gc.get_threshold()[0] == after
    assert gc.get_freeze_count() > 0
