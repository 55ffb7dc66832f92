"""SubprocessExecutor: a program for each job, on a leash."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import CommandFailed
from pgq_orm.executors import SubprocessExecutor
from pgq_orm.models import Job
from pgq_orm.outcomes import Snooze
from pgq_orm.statuses import LogStatus
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.executors.jobs import DRAIN, Queue, Runs, picked_job
from tests.executors.processes import all_gone, noted_in

Executing = Callable[..., Runs]


def command(*words: str) -> Callable[[Job], list[str]]:
    """A handler whose command is always the same."""
    return lambda job: list(words)


def shell(script: str) -> Callable[[Job], list[str]]:
    return command("sh", "-c", script)


def python(script: str) -> Callable[[Job], list[str]]:
    return command(sys.executable, "-c", script)


async def test_what_the_command_writes_is_the_result(executing: Executing) -> None:
    assert await executing(SubprocessExecutor, command("echo", "hello", "$HOME"))() == "hello $HOME\n"


async def test_the_command_reads_the_payload(executing: Executing) -> None:
    assert await executing(SubprocessExecutor, command("rev"))(picked_job(b"drawer\n")) == "reward\n"


async def test_without_a_payload_it_reads_the_arguments_as_json(executing: Executing) -> None:
    run = executing(SubprocessExecutor, command("cat"))
    assert await run(picked_job(arguments={"order": 7})) == '{"order": 7}'


async def test_a_payload_that_nobody_reads_does_no_harm(executing: Executing) -> None:
    assert await executing(SubprocessExecutor, command("true"))(picked_job(b"x" * 1_000_000)) is None


async def test_the_handler_puts_the_command_together_for_the_job(executing: Executing) -> None:
    async def handler(job: Job) -> list[str]:
        assert job.arguments is not None
        return ["printf", "%s", job.arguments["text"]]

    assert (
        await executing(SubprocessExecutor, handler)(picked_job(arguments={"text": "; rm -rf"})) == "; rm -rf"
    )


async def test_what_is_no_text_is_made_one(executing: Executing) -> None:
    assert await executing(SubprocessExecutor, shell(r"printf 'a\000\377'"))() == "a\ufffd\ufffd"


async def test_of_too_much_output_the_beginning_is_kept(executing: Executing) -> None:
    run = executing(partial(SubprocessExecutor, output_limit=6), shell("yes | head -c 1000000"))
    assert await run() == "y\ny\ny\n"


async def test_another_exit_code_fails_the_job_with_the_end_of_its_standard_error(
    executing: Executing,
) -> None:
    script = "yes padding | head -c 100000 >&2; echo first >&2; echo 'no such picture' >&2; exit 3"
    run = executing(SubprocessExecutor, shell(script))
    with pytest.raises(CommandFailed, match=r"^sh ended with exit code 3: no such picture\n") as caught:
        await run()
    (note,) = caught.value.__notes__
    assert note.endswith("first\nno such picture")
    assert len(note) < 5000


async def test_a_signal_is_told_by_its_name(executing: Executing) -> None:
    with pytest.raises(CommandFailed, match="was killed by SIGSEGV"):
        await executing(SubprocessExecutor, shell("kill -SEGV $$"))()


async def test_a_program_that_does_not_exist_is_named(executing: Executing) -> None:
    with pytest.raises(FileNotFoundError, match="no program 'convrt'"):
        await executing(SubprocessExecutor, command("convrt", "a.png"))()


@pytest.mark.parametrize("answer", [None, "rm -rf /", [], ["sleep", 5]])
async def test_a_handler_that_returns_no_command_is_told_what_one_is(
    executing: Executing, answer: Any
) -> None:
    with pytest.raises(TypeError, match=r"must return the command to run as a list of strings"):
        await executing(SubprocessExecutor, lambda job: answer)()


async def test_a_handler_may_say_snooze_instead(executing: Executing) -> None:
    run = executing(SubprocessExecutor, lambda job: Snooze(timedelta(minutes=1)))
    assert isinstance(await run(), Snooze)


async def test_when_its_time_is_up_the_command_is_asked_to_end(executing: Executing, tmp_path: Path) -> None:
    script = f"trap 'echo tidied > {tmp_path}/tidied; echo at step 3 >&2; exit' TERM; sleep 60 & wait"
    run = executing(partial(SubprocessExecutor, time_limit=2), shell(script))
    with pytest.raises(TimeoutError, match=r"ran for more than 2, and was ended: at step 3"):
        await run()
    assert (tmp_path / "tidied").read_text() == "tidied\n"


async def test_a_command_that_does_not_listen_is_killed(executing: Executing, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {noted}.new; mv {noted}.new {noted}; wait; sleep 60"
    run = executing(partial(SubprocessExecutor, time_limit=2, grace=0.1), shell(script))
    with pytest.raises(TimeoutError):
        await run()
    assert await all_gone(await noted_in(noted))


async def test_an_interrupted_job_takes_its_command_along(executing: Executing, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    script = f"sleep 60 & echo $$ $! > {noted}.new; mv {noted}.new {noted}; wait"
    running = asyncio.create_task(executing(SubprocessExecutor, shell(script))())
    pids = await noted_in(noted)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await all_gone(pids)


async def test_what_a_command_leaves_behind_ends_with_it(executing: Executing, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    script = f"sleep 60 & echo $! > {noted}; echo done"
    assert await executing(SubprocessExecutor, shell(script))() == "done\n"
    assert await all_gone(await noted_in(noted))


async def test_who_left_the_group_with_the_pipes_does_not_hold_the_job(
    executing: Executing, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    script = f"setsid sleep 60 & echo $! > {noted}; echo done"
    try:
        assert await executing(SubprocessExecutor, shell(script))() == "done\n"
    finally:
        os.kill((await noted_in(noted))[0], 9)


async def test_beyond_the_memory_limit_the_command_fails(executing: Executing) -> None:
    run = executing(partial(SubprocessExecutor, memory_limit=1 << 30), python("bytearray(4 << 30)"))
    with pytest.raises(CommandFailed, match="exit code 1: MemoryError"):
        await run()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_broken_pipe_ends_a_command_as_in_a_shell(executing: Executing) -> None:
    run = executing(SubprocessExecutor, command("grep", "SigIgn", "/proc/self/status"))
    ignored = int(str(await run()).split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


async def test_the_outcome_is_in_the_log(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("listing", executor_factory=SubprocessExecutor)
    def listing(job: Job) -> list[str]:
        assert job.payload is not None
        return ["ls", "--", job.payload.decode()]

    good, bad = queue.enqueue("listing", b"/dev/null"), queue.enqueue("listing", b"/nowhere")
    await pgq.run(mode=DRAIN)

    (listed,), (failed,) = queue.log(good), queue.log(bad)
    assert (listed.status, listed.result) == (LogStatus.SUCCESSFUL, "/dev/null\n")
    assert failed.status == LogStatus.EXCEPTION
    assert (failed.error or "").startswith("CommandFailed: ls ended with exit code 2: ls: cannot access")
    assert "The end of its standard error" in (failed.traceback or "")


WORKER = """
import asyncio, os, sys
from sqlalchemy.ext.asyncio import create_async_engine
from pgq_orm import PgQueuer
from pgq_orm.executors import SubprocessExecutor

pgq = PgQueuer(create_async_engine(sys.argv[1]))

@pgq.entrypoint("hanging", executor_factory=SubprocessExecutor)
def hanging(job):
    noted = os.fsdecode(job.payload)
    return ["sh", "-c", f"sleep 60 & echo $$ $! > {noted}.new; mv {noted}.new {noted}; wait"]

asyncio.run(pgq.run())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a group when its leash breaks")
async def test_no_command_outlives_its_worker(dsn: str, queue: Queue, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    queue.enqueue("hanging", os.fsencode(noted))
    worker = subprocess.Popen(  # noqa: ASYNC220 - starting one takes no time
        [sys.executable, "-c", WORKER, sqlalchemy_url(dsn)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        pids = await noted_in(noted)
    finally:
        worker.kill()
        worker.wait()
    assert await all_gone(pids)


async def test_cancelling_a_running_job_ends_its_command(pgq: PgQueuer, queue: Queue, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    script = f"sleep 60 & echo $$ $! > {noted}.new; mv {noted}.new {noted}; wait"
    pgq.entrypoint("hanging", executor_factory=SubprocessExecutor)(shell(script))
    job_id = queue.enqueue("hanging")
    working = asyncio.create_task(pgq.run())
    pids = await noted_in(noted)

    queue.cancel(job_id)

    await aeventually(lambda: [row.status for row in queue.log(job_id)] == [LogStatus.CANCELED])
    assert await all_gone(pids)
    pgq.shutdown.set()
    await working
