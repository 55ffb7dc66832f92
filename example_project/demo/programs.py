"""Programs: the processes of the demo, each with its log in a file."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from example_project.demo.failure import Failure
from example_project.demo.interruption import held

ROOT = Path(__file__).resolve().parents[2]
"""Where they run: the directory above `example_project`."""

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class Programs:
    """All programs of the demo, with one environment, and their logs in one directory."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = environment
        self._started: list[Program] = []

    def start(self, name: str, *arguments: str, **environment: str) -> "Program":
        """Starts a program that goes on until it ends or is stopped."""
        log = self._logs / f"{name.replace(' ', '-')}.log"
        program = Program(name, *arguments, log=log, environment={**self._environment, **environment})
        self._started.append(program)
        program.start()
        return program

    def run(self, name: str, *arguments: str, **environment: str) -> None:
        """Runs a program to its end. Raises Failure if that is a bad one, or does not come."""
        program = self.start(name, *arguments, **environment)
        program.finish()
        self._started.remove(program)

    def require_running(self) -> None:
        """Raises Failure if one of those that should go on has ended."""
        for program in self._started:
            program.require_running()

    def stop(self) -> None:
        """Ends all of them, the last started first."""
        while self._started:
            self._started.pop().stop()


class Program:
    """A Python program, run from ROOT as the command line would."""

    def __init__(self, name: str, *arguments: str, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, *arguments]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with held(), self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for the demo, which stops its programs in order.
                start_new_session=True,
            )

    def finish(self) -> None:
        """Waits for its end. Raises Failure if that is a bad one, or does not come."""
        assert self._process is not None
        try:
            status = self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end in {START_SECONDS:.0f} s", self.log) from None
        if status:
            raise Failure(f"{self.name} failed", self.log)

    def wait_for(self, pattern: str) -> str:
        """What the pattern's group matches in the log, as soon as it is there. Raises Failure if it never is."""
        deadline = time.monotonic() + START_SECONDS
        while not (match := re.search(pattern, self.log.read_text(errors="replace"))):
            self.require_running()
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} did not get ready in {START_SECONDS:.0f} s", self.log)
            time.sleep(0.02)
        return match[1]

    def require_running(self) -> None:
        """Raises Failure if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise Failure(f"{self.name} ended by itself, with status {self._process.returncode}", self.log)

    def stop(self) -> int | None:
        """Asks it to end, waits until it has, and gives its status; None if it was never started.

        Stopping it again changes nothing.
        """
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
