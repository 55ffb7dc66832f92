"""Command: the executor that runs a program for each job."""

import asyncio
import json
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from pgq_orm.errors import CommandFailed
from pgq_orm.executors.capabilities import IS_MEMORY_LIMITABLE, Capabilities
from pgq_orm.executors.conversation import Conversation
from pgq_orm.executors.entrypoint import EntrypointExecutor
from pgq_orm.executors.options import Duration, require_count, seconds
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import HandlerVerdict


@dataclass(eq=False)
class SubprocessExecutor(EntrypointExecutor):
    """Runs the command that the handler returns for the job, a list of arguments. There is no shell.

    The command reads the job's payload, or its arguments as JSON, from its standard input. What it writes to its
    standard output is the job's result. Ending with another code than 0 fails the job with CommandFailed. Whatever it
    has started ends with it, and it ends with the worker.
    """

    time_limit: Duration | None = None
    """How long the command may run; then it is ended, and the job fails with TimeoutError."""
    memory_limit: int | None = None
    """Bytes of address space that each of its processes may take (RLIMIT_AS)."""
    grace: Duration = timedelta(seconds=2)
    """How long after SIGTERM it may clean up before SIGKILL, when its time is up or the job is to stop."""
    output_limit: int = 64 * 1024
    """Bytes of standard output that are kept, from its beginning. More is read and forgotten."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        time_limit=True, memory_limit=IS_MEMORY_LIMITABLE, cancellation=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._time_limit = seconds("time_limit", self.time_limit)
        require_count("memory_limit", self.memory_limit)
        require_count("output_limit", self.output_limit)
        self._grace_seconds = seconds("grace", self.grace)

    async def execute(self, job: Job, context: Context) -> Any:
        command = await super().execute(job, context)
        if isinstance(command, HandlerVerdict):
            return command
        _require_command(command, self.parameters.entrypoint)
        conversation = await Conversation.begin(
            command, memory_limit=self.memory_limit, output_limit=self.output_limit
        )
        code = None
        try:
            async with asyncio.timeout(self._time_limit):
                code = await conversation.converse(_words(job))
        except TimeoutError:
            pass  # told when it has ended, with what it said at last
        finally:
            await conversation.end(self._grace_seconds)
        if code is None:
            late = TimeoutError(f"{command[0]} ran for more than {self.time_limit}, and was ended")
            raise _with_last_words(late, conversation)
        if code != 0:
            raise _with_last_words(CommandFailed(f"{command[0]} {_ending(code)}"), conversation)
        return _text(conversation.output) or None


def _require_command(command: object, entrypoint: str) -> None:
    if (
        not isinstance(command, Sequence)
        or isinstance(command, str | bytes)
        or not command
        or not all(isinstance(word, str) for word in command)
    ):
        raise TypeError(
            f"the handler of {entrypoint!r} must return the command to run as a list of strings, such as "
            f"['convert', 'in.png', 'out.webp'] (there is no shell), not {command!r}"
        )
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"there is no program {command[0]!r} that the worker may run")


def _words(job: Job) -> bytes:
    if job.payload is None and job.arguments is not None:
        return json.dumps(dict(job.arguments)).encode()
    return job.payload or b""


def _ending(code: int) -> str:
    return f"ended with exit code {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"


ErrorT = TypeVar("ErrorT", bound=Exception)


def _with_last_words(error: ErrorT, conversation: Conversation) -> ErrorT:
    """The error, with the end of standard error for the log's traceback, and its last line for the log's error."""
    if words := conversation.last_words:
        error.args = (f"{error}: {words.splitlines()[-1]}",)
        error.add_note(f"The end of its standard error:\n{words}")
    return error


def _text(output: bytes | bytearray) -> str:
    return bytes(output).decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
