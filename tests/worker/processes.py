"""Processes: workers as they run in production, started by the command."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from tests.databases import Driver, sqlalchemy_url
from tests.eventually import eventually
from tests.worker.queues import Queue

ROOT = Path(__file__).parents[2]
END_SECONDS = 40.0


class WorkerProcess:
    """A `pgq run` of one of the test's programs."""

    def __init__(
        self, dsn: str, program: str, *options: str, driver: Driver = "psycopg", directory: Path = ROOT
    ) -> None:
        factory = program if ":" in program else f"tests.worker.programs:{program}"
        # Not a pipe: what is said can be read while it goes on, and nobody who holds a pipe delays the end.
        self._log = TemporaryFile()  # noqa: SIM115 - closed at the end of the process
        self._said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pgq_orm", "run", factory, *options],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "QUEUE_URL": sqlalchemy_url(dsn, driver)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self) -> str:
        """What it has said so far."""
        if not self._log.closed:
            size = os.fstat(self._log.fileno()).st_size
            self._said = os.pread(self._log.fileno(), size, 0).decode()
        return self._said

    def await_ready(self, queue: Queue) -> "WorkerProcess":
        """Returns once it is registered, and will heed signals; or has nothing left to do already."""
        registered = "SELECT 1 FROM pgq_worker WHERE pid = :pid"

        def is_ready() -> bool:
            return self._process.poll() is not None or bool(queue.scalars(registered, pid=self._process.pid))

        with suppress(AssertionError):
            eventually(is_ready, timeout=30)
            if not self._process.returncode:
                return self
        self.kill()
        raise AssertionError(f"the worker did not start: {self.output}")

    def await_handler(self, *job_ids: int) -> None:
        """Returns once a handler runs for each of these jobs; one that says so, as most of those do that last."""
        said = {f"begins job {job_id}." for job_id in job_ids}
        eventually(lambda: all(line in self.output for line in said))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def await_end(self) -> int:
        """Its exit code."""
        code = self._process.wait(timeout=END_SECONDS)
        self._said = self.output
        self._log.close()
        return code

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self._process.kill()
        self.await_end()

    def clear_away(self) -> None:
        if self._process.poll() is None:
            self.kill()
        else:
            self.await_end()


@contextmanager
def worker_process(queue: Queue, *options: str, program: str = "working") -> Iterator[WorkerProcess]:
    """A worker process that is ready; killed at the end of the block if it still runs."""
    process = WorkerProcess(queue.dsn, program, *options)
    try:
        yield process.await_ready(queue)
    finally:
        process.clear_away()
