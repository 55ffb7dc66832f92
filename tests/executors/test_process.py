"""ProcessExecutor: what runs in a process of its own can crash, hang and grow, and hurts nobody but its own job."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import ProcessCrashed, RegistrationError, RemoteError
from pgq_orm.executors import AbstractEntrypointExecutor, HandlerExited, ProcessExecutor
from pgq_orm.outcomes import Snooze
from pgq_orm.statuses import JobStatus, LogStatus
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.executors import handlers
from tests.executors.jobs import DRAIN, Queue, Runs, picked_job
from tests.executors.processes import all_gone, is_alive, noted_in

Executing = Callable[..., Runs]

one_process = partial(ProcessExecutor, processes=1)


async def test_the_handler_runs_in_another_process(executing: Executing) -> None:
    run = executing(one_process, handlers.process_id)
    assert await run() != os.getpid()


async def test_the_job_gets_there_and_the_result_comes_back(executing: Executing) -> None:
    run = executing(one_process, handlers.double)
    assert await run(picked_job(arguments={"number": 21})) == 42


async def test_a_handler_may_want_nothing(executing: Executing) -> None:
    assert await executing(one_process, handlers.take_nothing)() == "done"


async def test_a_process_is_kept_for_the_next_job(executing: Executing) -> None:
    run = executing(one_process, handlers.process_id)
    assert await run() == await run()


async def test_a_process_retires_after_its_number_of_jobs(executing: Executing) -> None:
    run = executing(partial(one_process, jobs_per_process=2), handlers.process_id)
    first, second, third = [await run() for _ in range(3)]
    assert first == second != third
    assert not is_alive(first)


async def test_jobs_run_side_by_side_in_as_many_processes_as_there_may_be(
    executing: Executing, tmp_path: Path
) -> None:
    run = executing(partial(ProcessExecutor, processes=2), handlers.meet_another)
    job = picked_job(os.fsencode(tmp_path))
    assert len(set(await asyncio.gather(run(job), run(job), run(job)))) == 2


async def test_an_exception_keeps_its_type_and_the_traceback_that_it_had_there(executing: Executing) -> None:
    run = executing(one_process, handlers.fail)
    with pytest.raises(ValueError, match="no such order") as caught:
        await run()
    assert "handlers.py" in str(caught.value.__cause__)
    assert await executing(one_process, handlers.process_id)()


async def test_an_exception_that_cannot_travel_is_told_in_words(executing: Executing) -> None:
    run = executing(one_process, handlers.fail_fussily)
    with pytest.raises(RemoteError, match="Fussy: order 7: lost"):
        await run()


async def test_a_result_that_cannot_travel_is_not_kept(executing: Executing) -> None:
    assert await executing(one_process, handlers.give_back_what_no_pickle_holds)() is None


async def test_sys_exit_is_an_outcome(executing: Executing) -> None:
    with pytest.raises(HandlerExited, match="SystemExit"):
        await executing(one_process, handlers.leave)()


@pytest.mark.parametrize(
    ("handler", "words"), [(handlers.exit_hard, "exit code 7"), (handlers.crash, "killed by SIGSEGV")]
)
async def test_a_crash_is_told_by_exit_code_or_signal(
    executing: Executing, handler: Callable[..., object], words: str
) -> None:
    with pytest.raises(ProcessCrashed, match=words):
        await executing(one_process, handler)()


async def test_who_asks_the_process_to_end_is_not_heard_because_the_worker_decides(
    executing: Executing,
) -> None:
    assert await executing(one_process, handlers.survive_a_request_to_end)() == "still here"


async def test_the_initializer_is_called_first(executing: Executing) -> None:
    run = executing(partial(one_process, initializer=handlers.set_greeting), handlers.greet)
    assert await run() == "hello from the initializer"


async def test_a_process_that_cannot_begin_says_why_and_the_next_job_tries_anew(executing: Executing) -> None:
    run = executing(partial(one_process, initializer=handlers.refuse_to_begin), handlers.greet)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no licence"):
            await run()


async def test_beyond_the_memory_limit_the_job_fails_and_the_process_is_replaced(
    executing: Executing,
) -> None:
    run = executing(partial(one_process, memory_limit=1 << 30), handlers.fill_memory)
    before = await run()
    with pytest.raises(MemoryError):
        await run(picked_job(b"much"))
    assert await run() != before


async def test_when_its_time_is_up_the_handler_is_killed_with_all_that_it_has_started(
    executing: Executing, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    run = executing(partial(one_process, time_limit=2), handlers.note_and_hang)
    with pytest.raises(TimeoutError, match=r"ran for more than 2"):
        await run(picked_job(os.fsencode(noted)))
    assert await all_gone(await noted_in(noted))


async def test_an_interrupted_job_takes_its_process_along(executing: Executing, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    run = executing(one_process, handlers.note_and_hang)
    running = asyncio.create_task(run(picked_job(os.fsencode(noted))))
    pids = await noted_in(noted)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await all_gone(pids)


async def test_a_job_that_waits_for_a_process_may_be_interrupted_and_the_next_gets_its_turn(
    executing: Executing, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = executing(one_process, handlers.wait_for_file)
    first, second, third = [asyncio.create_task(run(picked_job(os.fsencode(gate)))) for _ in range(3)]
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.touch()
    assert await first == await third


async def test_a_job_that_waits_for_a_process_is_given_back_when_the_worker_ends(
    executing: Executing, shutdown: asyncio.Event, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = executing(one_process, handlers.wait_for_file)
    running, waiting = [asyncio.create_task(run(picked_job(os.fsencode(gate)))) for _ in range(2)]
    await asyncio.sleep(0)
    shutdown.set()
    with pytest.raises(Snooze):
        await waiting
    gate.touch()
    assert await running


async def test_an_idle_process_that_was_killed_is_replaced_and_no_job_is_blamed(executing: Executing) -> None:
    run = executing(one_process, handlers.process_id)
    victim = await run()
    os.kill(victim, signal.SIGKILL)
    assert await run() != victim


async def test_closing_leaves_no_process_behind(parameters: Callable[..., Any]) -> None:
    executor: AbstractEntrypointExecutor = one_process(parameters(handlers.process_id))
    pid = await Runs(executor)()
    await executor.close()
    assert not is_alive(pid)


async def test_a_crash_ends_its_own_job_alone(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("risky", executor_factory=partial(ProcessExecutor, processes=2))(handlers.crash_if_told)
    others = [queue.enqueue("risky") for _ in range(3)]
    crashing = queue.enqueue("risky", b"crash", priority=1)
    others += [queue.enqueue("risky") for _ in range(3)]

    await pgq.run(mode=DRAIN)

    (crashed,) = queue.log(crashing)
    assert crashed.status == LogStatus.EXCEPTION
    assert "killed by SIGKILL" in (crashed.error or "")
    assert [row.result for job_id in others for row in queue.log(job_id)] == ["survived"] * 6


async def test_cancelling_a_running_job_kills_its_process(
    pgq: PgQueuer, queue: Queue, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    pgq.entrypoint("hanging", executor_factory=one_process)(handlers.note_and_hang)
    job_id = queue.enqueue("hanging", os.fsencode(noted))
    working = asyncio.create_task(pgq.run())
    pids = await noted_in(noted)

    queue.cancel(job_id)

    await aeventually(lambda: [row.status for row in queue.log(job_id)] == [LogStatus.CANCELED])
    assert await all_gone(pids)
    pgq.shutdown.set()
    await working


async def test_a_worker_that_must_end_now_kills_its_processes_and_gives_the_jobs_back(
    pgq: PgQueuer, queue: Queue, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    pgq.entrypoint("hanging", executor_factory=one_process)(handlers.note_and_hang)
    job_ids = [queue.enqueue("hanging", os.fsencode(noted)) for _ in range(2)]
    working = asyncio.create_task(pgq.run())
    pids = await noted_in(noted)

    pgq.stop_now()
    await working

    assert await all_gone(pids)
    assert queue.log() == []
    assert [(row.id, row.status, row.attempts) for row in queue.jobs()] == [
        (job_id, JobStatus.QUEUED, 0) for job_id in job_ids
    ]


SCRIPT = """
import asyncio, sys
from sqlalchemy.ext.asyncio import create_async_engine
from pgq_orm import PgQueuer
from pgq_orm.executors import ProcessExecutor

def handler(job):
    return __name__

if __name__ == "__main__":
    pgq = PgQueuer(create_async_engine(sys.argv[1]))
    pgq.entrypoint("entrypoint", executor_factory=ProcessExecutor)(handler)
    asyncio.run(pgq.run(mode="drain"))
"""


def test_a_handler_of_the_script_that_was_started_is_found(dsn: str, queue: Queue, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    job_id = queue.enqueue("entrypoint")
    subprocess.run(
        [sys.executable, script, sqlalchemy_url(dsn)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        timeout=30,
    )
    assert [row.result for row in queue.log(job_id)] == ["__mp_main__"]


WORKER = """
import asyncio, sys
from sqlalchemy.ext.asyncio import create_async_engine
from pgq_orm import PgQueuer
from pgq_orm.executors import ProcessExecutor
from tests.executors import handlers

if __name__ == "__main__":
    pgq = PgQueuer(create_async_engine(sys.argv[1]))
    handler = getattr(handlers, sys.argv[2])
    pgq.entrypoint("hanging", executor_factory=ProcessExecutor)(handler)
    asyncio.run(pgq.run())
"""


@pytest.mark.parametrize("handler", [handlers.note_and_hang, handlers.note_and_hold_the_lock])
async def test_no_process_outlives_its_worker(
    dsn: str, queue: Queue, tmp_path: Path, handler: Callable[..., object]
) -> None:
    script, noted = tmp_path / "worker.py", tmp_path / "noted"
    script.write_text(WORKER)
    queue.enqueue("hanging", os.fsencode(noted))
    worker = subprocess.Popen(  # noqa: ASYNC220 - starting one takes no time
        [sys.executable, script, sqlalchemy_url(dsn), handler.__name__],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        pids = await noted_in(noted)
    finally:
        worker.kill()
        worker.wait()
    assert await all_gone(pids)


class TestWhatCannotRunElsewhere:
    """It is refused where it is registered."""

    def test_an_async_handler(self, pgq: PgQueuer) -> None:
        with pytest.raises(RegistrationError, match="awaiting is async"):
            pgq.entrypoint("x", executor_factory=ProcessExecutor)(handlers.awaiting)

    def test_a_function_within_a_function(self, pgq: PgQueuer) -> None:
        with pytest.raises(RegistrationError, match=r"cannot be imported .* at the top of a module"):

            @pgq.entrypoint("x", executor_factory=ProcessExecutor)
            def handler(job: object) -> None: ...

    async def test_a_parameter_that_only_the_worker_can_fill(self, parameters: Callable[..., Any]) -> None:
        with pytest.raises(RegistrationError, match="may have one parameter, the job or the schedule"):
            ProcessExecutor(parameters(handlers.wanting_context))

    async def test_a_function_that_its_module_has_replaced(
        self, parameters: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = handlers.double
        monkeypatch.setattr(handlers, "double", handlers.fail)
        with pytest.raises(RegistrationError, match="is not what its module has under that name"):
            ProcessExecutor(parameters(original))

    @pytest.mark.parametrize("option", ["processes", "memory_limit", "jobs_per_process"])
    async def test_a_number_that_counts_nothing(self, parameters: Callable[..., Any], option: str) -> None:
        with pytest.raises(RegistrationError, match=f"{option} must be a positive integer or None, not 0"):
            ProcessExecutor(parameters(handlers.double), **{option: 0})  # type: ignore[arg-type]

    async def test_an_initializer_that_has_no_name(self, parameters: Callable[..., Any]) -> None:
        with pytest.raises(RegistrationError, match="initializer must be a function that another process"):
            ProcessExecutor(parameters(handlers.double), initializer=lambda: None)
