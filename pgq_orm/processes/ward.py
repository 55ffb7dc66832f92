"""Ward: a spawned process that runs a worker for its supervisor, and never outlives it."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from pgq_orm.executors import leash
from pgq_orm.executors.children import SPAWN, exit_in_words
from pgq_orm.processes.health import Health
from pgq_orm.processes.helm import Helm
from pgq_orm.processes.signals import heeding_signals
from pgq_orm.processes.worker import Program, complaint_of
from pgq_orm.worker.allowance import Ending

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often to look whether a silent process lives: one whose handler forked may die and leave its pipe open."""
KILL_SECONDS = 30.0
"""How long a process may take to stop at once, until it is killed."""
FAREWELL_SECONDS = 10.0
"""How long a process may live on after its last word; a thread of the application's may keep it from ending."""
ANSWER_SECONDS = 1.0
"""How long a process may take to tell how it fares."""


class Order(Enum):
    """What a supervisor tells a process."""

    FINISH = "finish"
    STOP = "stop"
    TELL = "tell"
    """How it fares."""


class Started(Enum):
    """What a process says once its worker is registered."""

    YES = "yes"


@dataclass(frozen=True, slots=True)
class Farewell:
    """How a process ended."""

    ending: Ending | None = None
    """Why its worker ended, if it ended in good order."""
    complaint: str | None = None
    """What it raised: a line that says what to do, or a traceback."""
    exit_code: int | None = None

    def in_words(self) -> str:
        """What became of one that did not end in good order."""
        return self.complaint or exit_in_words(self.exit_code)


Message: TypeAlias = Started | Health | Farewell


class Ward:
    """A process, as its supervisor sees it. Belongs to the supervisor's event loop."""

    def __init__(self, program: Program, name: str) -> None:
        self.name = name
        self.has_started = False
        """Whether its worker was registered."""
        self._program = program
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._farewell: Farewell | None = None
        self._silent = asyncio.Event()
        self._answers: list[asyncio.Future[Health]] = []

    async def live(self) -> Farewell:
        """Spawns the process and waits until it is gone; it is killed if the wait is cancelled."""
        loop = asyncio.get_running_loop()
        ours, theirs = SPAWN.Pipe()
        # No daemon in the sense of multiprocessing, which may have no children of its own.
        self._process = SPAWN.Process(target=_live, args=(theirs, self._program, self.name), name=self.name)
        try:
            self._process.start()
        except OSError as error:  # no memory, or too many processes
            ours.close()
            return Farewell(complaint=f"it could not be spawned: {error}")
        finally:
            theirs.close()
        self._connection = ours
        loop.add_reader(ours.fileno(), self._read)
        try:
            await self._wait_until_gone()
        finally:
            self._hang_up()
            self.kill()
            self._process.join()
        farewell = self._farewell or Farewell()
        return replace(farewell, exit_code=self._process.exitcode)

    def finish(self) -> None:
        """Lets what runs finish."""
        self._order(Order.FINISH)

    def stop(self) -> None:
        """Has what runs given back; kills the process if that takes too long."""
        self._order(Order.STOP)
        asyncio.get_running_loop().call_later(KILL_SECONDS, self.kill)

    def kill(self) -> None:
        """Ends it at once, with the processes of its group."""
        if self._process is not None and self._process.pid is not None and self._process.is_alive():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()

    async def health(self) -> Health:
        """How it fares, in its own words if it can speak."""
        answer: asyncio.Future[Health] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._order(Order.TELL)
        try:
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            pid = self._process.pid if self._process else None
            # One that is still importing its application does not listen yet.
            return Health(self.name, pid, vitals=None, is_answering=not self.has_started)
        finally:
            if answer in self._answers:
                self._answers.remove(answer)

    def _order(self, order: Order) -> None:
        if self._connection is not None:
            with suppress(OSError):  # it has ended
                self._connection.send(order)

    async def _wait_until_gone(self) -> None:
        assert self._process is not None
        while self._process.is_alive():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._silent.wait(), LOOK_SECONDS)
            if self._silent.is_set():
                await asyncio.sleep(0.02)  # it has said its last word, and is about to end
        self._read()

    def _read(self) -> None:
        try:
            while self._connection is not None and self._connection.poll():
                self._hear(self._connection.recv())
        except (EOFError, OSError):
            self._hang_up()

    def _hear(self, message: Message) -> None:
        match message:
            case Started():
                self.has_started = True
            case Farewell():
                self._farewell = message
                asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self.kill)
            case Health():
                for answer in self._answers:
                    if not answer.done():
                        answer.set_result(message)

    def _hang_up(self) -> None:
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._connection.close()
            self._connection = None
        self._silent.set()


class _Line:
    """The process's end of the pipe, on which several threads speak."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def say(self, message: Message) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(message)

    def listen(self, helm: Helm) -> None:
        orders: dict[Order, Callable[[], None]] = {
            Order.FINISH: helm.finish,
            Order.STOP: helm.stop,
            Order.TELL: lambda: self.say(helm.health()),
        }
        with suppress(
            EOFError, OSError
        ):  # the supervisor is gone, and so shall we be: the leash sees to that
            while True:
                orders[self._connection.recv()]()


def _live(connection: Connection, program: Program, name: str) -> None:
    """The process's life."""
    os.setsid()  # a group of its own, which can be killed as a whole, and away from the terminal's Ctrl-C
    parent = SPAWN.parent_process()
    assert parent is not None
    leash.hold(parent.sentinel)
    leash.watch(parent.sentinel)
    line = _Line(connection)
    helm = Helm(name, on_started=lambda: line.say(Started.YES))
    threading.Thread(target=line.listen, args=(helm,), name="pgq-orders", daemon=True).start()
    # A service manager may send its signals to every process of a service: for us they mean to finish, how often
    # they may come. Only the supervisor decides that it is time to stop at once.
    with heeding_signals(helm.finish):
        line.say(_farewell(program, helm))


def _farewell(program: Program, helm: Helm) -> Farewell:
    try:
        return Farewell(ending=program.run(helm) or Ending.asked)
    except (Exception, SystemExit) as error:
        return Farewell(complaint=complaint_of(program, error))
