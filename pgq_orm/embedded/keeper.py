"""Keeper: the process that owns an embedded PostgreSQL, and takes it away once its starter is gone.

Run as a script, with the standard library alone. Its standard input is the leash: the starter holds the other end, and
the kernel lets go of it however the starter ends, by `kill -9` too.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PORT = 5432
"""Part of the socket's name. No TCP port is opened."""

READY = "ready"
"""The word that begins every good answer; the first one goes on with the server's directory."""

LONGEST_ADDRESS = 103
"""The bytes that a Unix socket's path may have on macOS; Linux grants 107."""

ACCOUNT = "nobody"
"""Who runs a server that root starts: PostgreSQL refuses to run as root."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0


def main(binaries: Path, parent: Path | None, settings: list[str]) -> None:
    """Start a server, say so, obey until standard input ends, and clear everything away."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with _home(parent) as home:
        server = Server(home, _reachable_copy(binaries, home), settings)
        server.initialise()
        try:
            server.start()
            print(READY, home, flush=True)
            _obey(server)
        finally:
            server.stop(signal.SIGQUIT)  # at once: what a checkpoint would save is about to be deleted


def _obey(server: "Server") -> None:
    commands: dict[str, Callable[[], None]] = {"start": server.start, "stop": server.stop}
    for line in sys.stdin:
        commands[line.strip()]()
        print(READY, flush=True)


class Server:
    """One PostgreSQL whose files are all in `home`."""

    def __init__(self, home: Path, binaries: Path, settings: list[str]) -> None:
        self._home = home
        self._data = home / "data"
        self._binaries = binaries
        own_settings = [f"unix_socket_directories={home}", "listen_addresses=", f"port={PORT}"]
        self._options = [part for setting in [*own_settings, *settings] for part in ("-c", setting)]
        self._process: subprocess.Popen[bytes] | None = None
        # PGPORT, PGOPTIONS and the like would configure the server too; a locale may not be installed.
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("PG", "LC_"))}
        self._surroundings: dict[str, Any] = {"cwd": home, "env": {**environment, "LC_ALL": "C"}}
        if _is_root():
            account = pwd.getpwnam(ACCOUNT)
            self._surroundings |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def initialise(self) -> None:
        done = subprocess.run(
            [
                *(self._binaries / "initdb", "--pgdata", self._data, "--username=postgres", "--auth=trust"),
                *("--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._surroundings,
        )
        if done.returncode:
            sys.exit(f"initdb failed:\n{done.stdout}")

    def start(self) -> None:
        if self._process is not None:
            return
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._surroundings,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"its log says:\n{(self._home / 'log').read_text(errors='replace')[-4000:]}")
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its sessions and saves everything, SIGQUIT drops everything."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _is_ready(self) -> bool:
        # The last line of this file is what `pg_ctl start` waits for as well. A dead server's file is no sign.
        try:
            pid, *_, status = (self._data / "postmaster.pid").read_text().split()
        except (FileNotFoundError, ValueError):
            return False
        return self._process is not None and pid == str(self._process.pid) and status == "ready"


@contextmanager
def _home(parent: Path | None) -> Iterator[Path]:
    """A directory that only the server's account and root can enter, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="pgq-", dir=_shelter(parent)) as name:
        home = Path(name)
        _give_to_the_server(home)
        yield home


def _shelter(parent: Path | None) -> Path:
    """`parent`, or else the first usual place for temporary files, that the server can reach and with a short name."""
    # its name leaves room for a socket's
    room = LONGEST_ADDRESS - len(f"/pgq-12345678/.s.PGSQL.{PORT}")
    candidates = [parent] if parent else [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    for place in candidates:
        is_usable = place.is_dir() and os.access(place, os.W_OK) and _is_reachable(place)
        if is_usable and len(os.fsencode(place)) <= room:
            return place
    sys.exit(
        f"no directory for it; private, read-only, missing or too long a name: {', '.join(map(str, candidates))}"
    )


def _reachable_copy(binaries: Path, home: Path) -> Path:
    """The binaries; or a copy in `home` where they lie in root's own directories, closed to the server's account."""
    if _is_reachable(binaries):
        return binaries
    installation = binaries.parent
    package = installation.parent
    copy = home / package.name / installation.name
    shutil.copytree(installation, copy)
    libraries = package.with_name(f"{package.name}.libs")  # beside its package, as Linux wheels have them
    if libraries.is_dir():
        shutil.copytree(libraries, home / libraries.name)
    for path in home.rglob("*"):
        _give_to_the_server(path)
    return copy / binaries.name


def _is_reachable(path: Path) -> bool:
    if not _is_root():
        return True
    return all(directory.stat().st_mode & stat.S_IXOTH for directory in (path, *path.resolve().parents))


def _give_to_the_server(path: Path) -> None:
    if _is_root():
        os.chown(path, pwd.getpwnam(ACCOUNT).pw_uid, -1)


def _is_root() -> bool:
    return os.geteuid() == 0


if __name__ == "__main__":
    _, _binaries, _parent, *_settings = sys.argv
    main(Path(_binaries), Path(_parent) if _parent else None, _settings)
