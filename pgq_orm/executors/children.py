"""Children: a spawned process that runs one handler, job after job, and may be killed at any time."""

import atexit
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from pgq_orm.errors import ProcessCrashed
from pgq_orm.executors import leash
from pgq_orm.executors.errands import Answer, Errand, Raised, answer

SPAWN = multiprocessing.get_context("spawn")
LOOK_SECONDS = 1.0
"""How often to look whether a silent child lives: one that forked may die and leave its end of the pipe open."""
FAREWELL_SECONDS = 1.0
"""How long a child that is no longer needed may take to end by itself."""
BEGUN = b""
"""What a child says before it calls the handler."""


class DiedIdle(ProcessCrashed):
    """The process ended before it began with the job, which therefore is not to blame."""


@dataclass(frozen=True, slots=True)
class Upbringing:
    """What a child is told at its birth."""

    errand: Errand
    initializer: Callable[[], object] | None
    memory_limit: int | None
    jobs: int | None
    """How many it does before it retires."""


class Child:
    """A process for one job at a time. Its methods block, but for `kill`, which is called from another thread."""

    def __init__(self, upbringing: Upbringing) -> None:
        self._upbringing = upbringing
        self._jobs_left = upbringing.jobs
        self._process: SpawnProcess | None = None
        self._is_killed = False
        self.is_ready = False
        """Whether it has been started, and has imported the handler."""

    @property
    def is_fit(self) -> bool:
        """Whether it may be given another job."""
        return self.is_ready and not self._is_killed and self._jobs_left != 0 and self._is_alive()

    def start(self) -> None:
        """Spawns the process and waits until it has imported the handler.

        Raises what kept it from doing so, or ProcessCrashed.
        """
        self._connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_live, args=(theirs, self._upbringing), name="pgq-child")
        # At exit multiprocessing waits for its processes; this comes first, because it is registered later.
        atexit.register(self.kill)
        try:
            self._process.start()
        finally:
            theirs.close()
        if self._is_killed:
            self.kill()  # it was asked for when there was nothing to be killed yet
        prepared: Answer = pickle.loads(self._receive())
        prepared.give()
        self.is_ready = True

    def call(self, subject: bytes) -> Answer:
        """Runs the handler on a pickled job or schedule.

        Raises ProcessCrashed: DiedIdle if that happened before the handler was called.
        """
        try:
            with suppress(OSError):  # it has ended: receiving says how
                self._connection.send_bytes(subject)
            self._receive()
        except ProcessCrashed as error:
            raise DiedIdle(*error.args) from None
        answered: Answer = pickle.loads(self._receive())
        if self._jobs_left is not None:
            self._jobs_left -= 1
        if isinstance(answered, Raised) and isinstance(answered.error, MemoryError):
            self._jobs_left = 0  # what fills it may be there to stay
        return answered

    def kill(self) -> None:
        """Ends it at once, with the processes that it has started, and so whoever waits for its answer."""
        self._is_killed = True
        process = self._process
        if process is None or process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()

    def close(self) -> None:
        """Lets it end by itself, but not for long."""
        if self._process is None or self._process.pid is None:
            return
        self._connection.close()
        self._process.join(FAREWELL_SECONDS)
        self.kill()
        self._process.join(FAREWELL_SECONDS)
        atexit.unregister(self.kill)

    def _receive(self) -> bytes:
        try:
            while not self._connection.poll(LOOK_SECONDS):
                if not self._is_alive() and not self._connection.poll():
                    raise EOFError
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            ending = self._ending()
            self.kill()
            raise ProcessCrashed(f"the handler's process ended before the handler did: {ending}") from None

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def _ending(self) -> str:
        assert self._process is not None
        self._process.join(FAREWELL_SECONDS)
        return exit_in_words(self._process.exitcode)


def exit_in_words(code: int | None) -> str:
    """How a process ended, or None for one that has not: "… ended: exit code 7"."""
    if code is None:
        return "it does not answer any more"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"killed by {name}" + (", perhaps because memory ran out" if name == "SIGKILL" else "")


def _live(connection: Connection, upbringing: Upbringing) -> None:
    """The child's life."""
    os.setsid()  # a group of its own, which can be killed as a whole, and away from the terminal's Ctrl-C
    # A service manager may ask every process of a service to end, but the worker decides which jobs are finished.
    # Not SIG_IGN: the programs that the handler starts would inherit that.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    parent = multiprocessing.parent_process()
    assert parent is not None
    leash.hold(parent.sentinel)
    leash.watch(parent.sentinel)
    connection.send_bytes(answer(_prepare, upbringing))
    with suppress(EOFError):  # the worker needs us no longer
        while True:
            subject = connection.recv_bytes()
            connection.send_bytes(BEGUN)
            connection.send_bytes(answer(upbringing.errand.perform, subject))


def _prepare(upbringing: Upbringing) -> None:
    if upbringing.memory_limit is not None:
        leash.limit_memory(upbringing.memory_limit)
    if upbringing.initializer is not None:
        upbringing.initializer()
    upbringing.errand.prepare()
