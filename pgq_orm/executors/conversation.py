"""Conversation: what a running command is told, what it says, and how it is ended."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from pgq_orm.executors import leash

STDIN, STDOUT, STDERR = range(3)
LAST_WORDS_BYTES = 4096
FAREWELL_SECONDS = 1.0
"""How long an ended command's pipes may stay open: a process that left its group may hold them."""


class Conversation(asyncio.SubprocessProtocol):
    """One command, run in a process group of its own and on a leash."""

    def __init__(self, output_limit: int, leash_end: int) -> None:
        self.output = bytearray()
        """The beginning of what it wrote to its standard output."""
        self._output_limit = output_limit
        self._last_words = bytearray()
        self._leash_end = leash_end
        self._exited = asyncio.Event()
        self._silent = asyncio.Event()

    @classmethod
    async def begin(
        cls, command: Sequence[str], *, memory_limit: int | None, output_limit: int
    ) -> "Conversation":
        """Starts the command."""
        leash_pipe, leash_end = os.pipe()
        try:
            _, conversation = await asyncio.get_running_loop().subprocess_exec(
                lambda: cls(output_limit, leash_end),
                *(sys.executable, "-I", "-S", leash.__file__, str(leash_pipe), str(memory_limit or "")),
                *command,
                pass_fds=(leash_pipe,),
                start_new_session=True,
            )
        except BaseException:
            os.close(leash_end)
            raise
        finally:
            os.close(leash_pipe)
        return conversation

    async def converse(self, words: bytes) -> int:
        """Writes to its standard input, and answers its exit code; minus the signal that ended it."""
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(STDIN))
        stdin.write(words)
        stdin.write_eof()
        await self._exited.wait()
        self._signal(signal.SIGKILL)  # what it has left behind, which would go on talking
        await self._fall_silent()
        code = self._transport.get_returncode()
        assert code is not None
        return code

    async def end(self, grace_seconds: float) -> None:
        """Ends it and all that it has started: politely at first, by force when the grace is over."""
        try:
            if not self._exited.is_set():
                self._signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    async with asyncio.timeout(grace_seconds):
                        await self._exited.wait()
                self._signal(signal.SIGKILL)
                await self._fall_silent()
        finally:
            self._signal(signal.SIGKILL)
            os.close(self._leash_end)
            self._transport.close()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        return bytes(self._last_words).decode("utf-8", "replace").strip()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), number)

    async def _fall_silent(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._silent.wait()

    # What asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The command was started."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It said something."""
        if fd == STDOUT:
            self.output += data[: self._output_limit - len(self.output)]
        else:
            self._last_words = (self._last_words + data)[-LAST_WORDS_BYTES:]

    def process_exited(self) -> None:
        """It ended; what it has said may still be on its way."""
        self._exited.set()

    def connection_lost(self, error: Exception | None) -> None:
        """It ended, and everything that it said has arrived."""
        self._silent.set()
