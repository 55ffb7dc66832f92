"""Standstill: a handler that blocks the event loop is told of while it does."""

import time

import pytest

from pgq_orm import PgQueuer
from pgq_orm.models import Job
from pgq_orm.worker import standstill
from tests.eventually import aeventually
from tests.worker.queues import Queue
from tests.worker.workers import running


async def test_a_handler_that_blocks_the_loop_is_named_while_it_does(
    each_pgq: PgQueuer, queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(standstill, "LOOK_SECONDS", 0.2)
    seen: list[bool] = []

    @each_pgq.entrypoint("hang")
    async def hang(job: Job) -> None:
        block()

    def block() -> None:
        deadline = time.monotonic() + 20
        while "has not turned" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.append("has not turned" in caplog.text)

    [job_id] = queue.enqueue("hang")
    async with running(each_pgq):
        await aeventually(lambda: seen == [True])
        await aeventually(lambda: "The event loop turns again" in caplog.text)
    assert "in hang" in caplog.text
    assert f"running: hang {job_id}" in caplog.text
    assert caplog.text.count("has not turned") == 1
