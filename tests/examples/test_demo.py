"""The demo, played small: it holds what it promises, notices what does not hold, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import httpx
import psycopg
import pytest

from example_project.demo.customers import CSRF_TOKEN
from tests.databases import with_database
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]

# Each starts half a dozen processes, so not at the same time.
pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(120)]

Demo: TypeAlias = "subprocess.Popen[str]"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts a demo whose temporary files are in `tmp_path`."""
    started: list[Demo] = []

    def start(*options: str, **environment: str) -> Demo:
        demo = subprocess.Popen(
            [sys.executable, "-m", "example_project.demo", *options],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(demo)
        return demo

    yield start
    for demo in started:
        demo.terminate()
        demo.communicate(timeout=60)


def leftovers(directory: Path) -> list[str]:
    """The files in the demo's temporary directory, and the processes that have inherited it."""
    marker = f"TMPDIR={directory}\0".encode()
    processes = [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if marker in _read(process / "environ") and int(process.name) != os.getpid()
    ]
    return [*map(str, directory.iterdir()), *processes]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # somebody else's, or gone meanwhile
        return b""


def figures(output: str) -> dict[str, str]:
    """The second column of the summary by the first, where the mark says that the claim holds."""
    return dict(re.findall(r"^✓ +(\S.*?)  +(\S+)  ", output, re.MULTILINE))


def test_the_demo_holds_what_it_promises(start: Callable[..., Demo], tmp_path: Path) -> None:
    demo = start("--orders", "24")
    output, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, output
    expected = {
        "Orders placed": "20",
        "Orders rolled back": "4",
        "Receipts sent": "20",
        "Transfers accepted": "10",
        "Transfers rolled back": "2",
        "Entries posted": "60",
        "Jobs left": "0",
        "Workers stopped": "2",
    }
    assert figures(output).items() >= expected.items(), output
    assert re.search(r"send_receipt \(Django\) +20( +[\d.]+ ms){4}", output)
    assert re.search(r"post_entry \(SQLAlchemy\) +30( +[\d.]+ ms){4}", output)
    assert leftovers(tmp_path) == []


def test_an_entry_that_disappears_is_noticed(
    start: Callable[..., Demo], tmp_path: Path, server_dsn: str
) -> None:
    demo = start("--orders", "12", PGQ_DSN=server_dsn)
    with psycopg.connect(server_dsn, autocommit=True) as server:

        def demo_database() -> str | None:
            found = server.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE 'pgq_demo_%'"
            ).fetchone()
            return with_database(server_dsn, found[0]) if found else None

        dsn = eventually(demo_database)
        assert dsn is not None
        with psycopg.connect(dsn, autocommit=True) as database:
            has_entries = "SELECT to_regclass('ledger_entry') IS NOT NULL"
            eventually(lambda: database.execute(has_entries).fetchone() == (True,))
            remove_one = "DELETE FROM ledger_entry WHERE id = (SELECT min(id) FROM ledger_entry)"
            eventually(lambda: database.execute(remove_one).rowcount, timeout=40)
        output, _ = demo.communicate(timeout=100)
        assert demo.returncode == 1, output
        assert re.search("^Broken: Entries posted, Books balance", output, re.MULTILINE), output
        assert demo_database() is None
    assert leftovers(tmp_path) == []


def test_sites_that_are_served_can_be_visited_until_ctrl_c(
    start: Callable[..., Demo], tmp_path: Path
) -> None:
    demo = start("--serve")
    output = ""
    while "Ctrl-C" not in output:
        line = demo.stdout.readline()
        assert line, output
        output += line
    addresses = dict(re.findall(r"^  (\w+) +(\S+)", output, re.MULTILINE))
    (password,) = re.findall(r"password (\S+?)\)", output)
    with httpx.Client(trust_env=False, verify=False, follow_redirects=True) as browser:
        assert "House Espresso" in browser.get(addresses["Shop"]).text
        assert "Nothing yet" in browser.get(addresses["Orders"]).text
        assert "Debits and credits are equal" in browser.get(addresses["Ledger"]).text
        (token,) = CSRF_TOKEN.findall(browser.get(addresses["Admin"]).text)
        login = {"csrfmiddlewaretoken": token, "username": "admin", "password": password}
        admin = browser.post(f"{addresses['Admin']}login/?next=/admin/", data=login)
        assert "Job queue" in admin.text
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert leftovers(tmp_path) == []
