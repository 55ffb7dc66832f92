"""Service: the loop of every part of a worker."""

import asyncio
import logging
from datetime import timedelta

import pytest

from pgq_orm.retries import Backoff
from pgq_orm.worker import service
from pgq_orm.worker.service import NEVER, Service
from tests.eventually import aeventually


class Part(Service):
    """Counts its ticks; each may be held up, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.failure: Exception | None = None

    async def tick(self) -> float:
        self.ticks += 1
        await self.may_go_on.wait()
        if self.failure is not None:
            raise self.failure
        return NEVER


@pytest.fixture
def part() -> Part:
    return Part()


async def test_a_wake_up_during_a_tick_leads_to_another_one(part: Part) -> None:
    """What it tells of may have come too late for the tick that is under way."""
    part.may_go_on.clear()
    part.start()
    await aeventually(lambda: part.ticks == 1)
    part.wake()
    part.wake()
    part.may_go_on.set()
    await aeventually(lambda: part.ticks == 2)
    await asyncio.sleep(0.05)
    assert part.ticks == 2
    await part.stop()


async def fail_often(part: Part, failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets it fail a few times, one soon after the other."""
    monkeypatch.setattr(service, "AFTER_FAILURE", Backoff(initial=timedelta(milliseconds=1)))
    part.failure = failure
    part.start()
    await aeventually(lambda: part.ticks >= 4)
    part.failure = None
    await part.stop()


async def test_a_database_that_is_away_is_told_once_in_one_line(
    part: Part, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await fail_often(part, ConnectionError("the server went away\nwhile it ran SELECT 1"), monkeypatch)
    [told] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert told.getMessage().endswith("s: ConnectionError: the server went away")
    assert not told.exc_info


async def test_a_failing_tick_is_made_again_and_told_with_its_traceback_once(
    part: Part, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await fail_often(part, ValueError("a defect"), monkeypatch)
    assert caplog.text.count("Part failed, next try in") >= 3
    assert caplog.text.count("Traceback") == 1


async def test_a_tick_whose_failure_cannot_even_be_told_is_made_again(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter's own fault")

    monkeypatch.setattr(service.logger, "filters", [refuse])
    await fail_often(part, ConnectionError("the server went away"), monkeypatch)


async def test_stopping_waits_for_the_tick_that_is_under_way(part: Part) -> None:
    part.may_go_on.clear()
    part.start()
    await aeventually(lambda: part.ticks == 1)
    stopping = asyncio.create_task(part.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    part.may_go_on.set()
    await stopping
    assert part.ticks == 1


async def test_stopping_loses_its_patience(part: Part) -> None:
    part.may_go_on.clear()
    part.start()
    await aeventually(lambda: part.ticks == 1)
    await asyncio.wait_for(part.stop(0.05), 1)


async def test_starting_and_stopping_again_change_nothing(part: Part) -> None:
    await part.stop()
    part.start()
    part.start()
    await aeventually(lambda: part.ticks == 1)
    await part.stop()
    await part.stop()
    part.start()
    await aeventually(lambda: part.ticks == 2)
    await part.stop()
