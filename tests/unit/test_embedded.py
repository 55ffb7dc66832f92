import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from pgq_orm.embedded import EmbeddedServer, EmbeddedServerError, embedded_binaries
from tests.eventually import eventually

STARTER = """
import sys
from pgq_orm.embedded import EmbeddedServer
with EmbeddedServer(durable=False) as server:
    print(server.directory, flush=True)
    sys.stdin.read()
"""


def test_it_answers_inside_the_block_and_is_gone_after_it() -> None:
    with EmbeddedServer() as server:
        directory, process = server.directory, _postmaster(server.directory)
        assert _ask(server, "SHOW fsync") == "on"

    assert not directory.exists()
    assert not _runs(process)
    with pytest.raises(EmbeddedServerError, match="enter it first"):
        _ = server.dsn


def test_two_servers_share_nothing() -> None:
    with EmbeddedServer(durable=False) as one, EmbeddedServer(durable=False) as other:
        _ask(one, "CREATE DATABASE only_here")
        assert _ask(other, "SELECT count(*) FROM pg_database WHERE datname = 'only_here'") == 0


def test_without_durability_a_commit_does_not_wait_for_the_disk() -> None:
    with EmbeddedServer(durable=False, settings={"work_mem": "8MB"}) as server:
        assert _ask(server, "SHOW fsync") == "off"
        assert _ask(server, "SHOW work_mem") == "8MB"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_goes_with_the_process_that_started_it(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        directory = Path(starter.stdout.readline().strip())
        process = _postmaster(directory)
        starter.send_signal(how)

    eventually(lambda: not directory.exists())
    assert not _runs(process)


def test_an_outage_keeps_the_data() -> None:
    with EmbeddedServer(durable=False) as server:
        _ask(server, "CREATE DATABASE kept")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            _ask(server, "SELECT 1")
        server.start()
        assert _ask(server, "SELECT count(*) FROM pg_database WHERE datname = 'kept'") == 1


def test_a_failure_to_start_shows_the_servers_own_words() -> None:
    server = EmbeddedServer(settings={"max_connections": "many"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "max_connections": "many"'):
        server.__enter__()


def test_a_directory_without_postgresql_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="no PostgreSQL in"):
        EmbeddedServer(binaries=tmp_path)


def test_a_temporary_directory_with_a_long_name_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with EmbeddedServer(durable=False) as server:
        assert _ask(server, "SELECT 1") == 1


def test_it_lives_where_it_is_told_to() -> None:
    with TemporaryDirectory(dir="/var/tmp") as name:
        parent = Path(name)
        parent.chmod(0o755)
        with EmbeddedServer(durable=False, parent=parent) as server:
            assert server.directory.parent == parent
            assert _ask(server, "SHOW data_directory") == str(server.directory / "data")
        assert not any(parent.iterdir())


def test_a_place_where_it_cannot_live_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"missing or too long a name: .*nowhere"):
        EmbeddedServer(parent=tmp_path / "nowhere").__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs under another account")
def test_root_can_use_binaries_that_only_root_can_read(tmp_path: Path) -> None:
    package = embedded_binaries().parents[1]
    private = tmp_path / "private"
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, private / folder.name, ignore=shutil.ignore_patterns("include", "pginstall"))
    private.chmod(0o700)

    with EmbeddedServer(durable=False, binaries=private / package.name / "pginstall18" / "bin") as server:
        assert _ask(server, "SELECT 1") == 1


def _ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def _postmaster(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().split()[0])


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
