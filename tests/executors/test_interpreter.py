"""SubInterpreterExecutor: an interpreter of its own, where Python has them."""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import RegistrationError
from pgq_orm.executors import SubInterpreterExecutor
from pgq_orm.statuses import LogStatus
from tests.eventually import aeventually
from tests.executors import handlers
from tests.executors.jobs import DRAIN, Queue, Runs, picked_job

Executing = Callable[..., Runs]

HAS_INTERPRETERS = find_spec("concurrent.interpreters") is not None

one_interpreter = partial(SubInterpreterExecutor, interpreters=1)


@pytest.fixture
def interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Python 3.14, or of a package that brings them to 3.13."""
    if sys.version_info < (3, 13):
        pytest.skip("interpreters crash this Python")
    if not HAS_INTERPRETERS:
        backport = pytest.importorskip(
            "backports.interpreters", reason="needs Python 3.14, or backports-interpreters"
        )
        monkeypatch.setitem(sys.modules, "concurrent.interpreters", backport)


@pytest.mark.skipif(HAS_INTERPRETERS, reason="this Python has them")
def test_without_interpreters_one_is_told_at_registration(pgq: PgQueuer) -> None:
    with pytest.raises(
        RegistrationError, match=r"needs the interpreters of Python 3\.14, .* use ProcessExecutor"
    ):
        pgq.entrypoint("x", executor_factory=SubInterpreterExecutor)(handlers.double)


@pytest.mark.usefixtures("interpreters")
class TestInAnInterpreter:
    async def test_the_job_gets_there_and_the_result_comes_back(self, executing: Executing) -> None:
        run = executing(one_interpreter, handlers.double)
        assert await run(picked_job(arguments={"number": 21})) == 42

    async def test_it_is_the_same_process_and_another_interpreter(self, executing: Executing) -> None:
        assert await executing(one_interpreter, handlers.process_id)() == os.getpid()
        run = executing(one_interpreter, handlers.count_calls)
        handlers.calls.append("here")
        assert [await run(), await run()] == [1, 2]  # an interpreter is kept for the next job

    async def test_an_exception_keeps_its_type(self, executing: Executing) -> None:
        with pytest.raises(ValueError, match="no such order"):
            await executing(one_interpreter, handlers.fail)()

    async def test_an_interrupted_job_keeps_its_slot_until_it_has_ended(
        self, executing: Executing, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        run = executing(one_interpreter, handlers.wait_for_file)
        running = asyncio.create_task(run(picked_job(os.fsencode(gate))))
        await aeventually(gate.with_suffix(".begun").exists)
        running.cancel()
        await asyncio.sleep(0.05)
        assert not running.done()
        gate.touch()
        with pytest.raises(asyncio.CancelledError):
            await running

    async def test_the_outcome_is_in_the_log(self, pgq: PgQueuer, queue: Queue) -> None:
        pgq.entrypoint("double", executor_factory=SubInterpreterExecutor)(handlers.double)
        job_ids = [queue.enqueue("double", arguments={"number": number}) for number in range(6)]

        await pgq.run(mode=DRAIN)

        logged = [row for job_id in job_ids for row in queue.log(job_id)]
        assert [(row.status, row.result) for row in logged] == [
            (LogStatus.SUCCESSFUL, 2 * number) for number in range(6)
        ]

    async def test_a_handler_of_the_script_that_was_started_is_refused(
        self, parameters: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handlers.double, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], "double", handlers.double, raising=False)
        with pytest.raises(RegistrationError, match="is in the script that was started"):
            SubInterpreterExecutor(parameters(handlers.double))
