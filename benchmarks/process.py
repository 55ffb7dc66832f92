"""Process: a contestant as its measurer sees it, a child process to give orders to."""

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from benchmarks.environments import interpreter
from benchmarks.lineup import Contestant

ROOT = Path(__file__).parent.parent
ORDER_SECONDS = 300.0

Message: TypeAlias = dict[str, Any]


class ContestantFailed(Exception):
    """A contestant ended, or did not answer in time."""


class Process:
    """A running contestant. Use `started`."""

    def __init__(self, contestant: Contestant, dsn: str, child: subprocess.Popen[str], errors: Any) -> None:
        self.contestant = contestant
        self.dsn = dsn
        self._child = child
        self._errors = errors
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._process = psutil.Process(child.pid)
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()
        self.introduction: Message = {}

    def introduce_itself(self) -> None:
        """Waits until it is ready, and keeps what it says of itself."""
        self.introduction = self.hear("ready")

    def order(self, what: str, **details: Any) -> None:
        """Tells it to do something."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"order": what, **details}) + "\n")
        self._child.stdin.flush()

    def hear(self, wanted: str, seconds: float = ORDER_SECONDS) -> Message:
        """Waits for a message of that kind; others before it are dropped. Raises ContestantFailed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ContestantFailed(
                    f"{self.contestant.key} did not say {wanted!r} within {seconds:.0f} s"
                ) from None
            if message["message"] == "gone":
                raise ContestantFailed(f"{self.contestant.key} ended: {self._complaint()}")
            if message["message"] == wanted:
                return message

    def ask(self, what: str, **details: Any) -> Message:
        """Tells it to do something, and waits until that is done."""
        self.order(what, **details)
        return self.hear("answer")

    def cpu_seconds(self) -> float:
        """The CPU time it has used so far, to a hundredth of a second."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """The memory it holds now."""
        return int(self._process.memory_info().rss)

    def await_silence(self) -> None:
        """Waits until everything is heard that an ended process has said."""
        self._listening.join()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._messages.put(json.loads(line))
        self._messages.put({"message": "gone"})

    def _complaint(self) -> str:
        self._errors.seek(0)
        return str(self._errors.read()[-2000:]) or "without a word"


@contextmanager
def started(contestant: Contestant, dsn: str) -> Iterator[Process]:
    """A contestant on a database, ready to be given orders; gone after the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        child = subprocess.Popen(
            [
                interpreter(contestant),
                "-m",
                f"benchmarks.contestants.{contestant.module}",
                dsn,
                json.dumps(contestant.options),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with child:
            process = Process(contestant, dsn, child, errors)
            try:
                process.introduce_itself()
                yield process
            finally:
                child.kill()
                process.await_silence()
