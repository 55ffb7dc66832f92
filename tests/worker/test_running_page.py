"""docs/running.md: its programs run, and what it says of options is what the commands have."""

import configparser
import re
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import sqlalchemy_url
from tests.eventually import aeventually, eventually
from tests.worker.options import ALONE, pgq_options
from tests.worker.probes import Probe, free_port
from tests.worker.processes import WorkerProcess
from tests.worker.queues import Queue

PAGE = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\w+\n# ([\w./-]+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def row(name: str, option: Any) -> str:
    default = "" if option.default in (None, False) else f"`{option.default}`"
    alone = " (`pgq run` alone)" if name in ALONE else ""
    return f"| `{name}` | {default} | {option.help}{alone} |"


def test_the_table_has_every_option_with_its_default_and_its_help() -> None:
    rows = [row(name, option) for name, option in pgq_options().items()]
    table = PAGE.partition("\n## Options\n")[2]
    assert re.findall(r"^\| `--.*\|$", table, re.MULTILINE) == rows


def test_the_page_names_no_option_that_does_not_exist() -> None:
    ours = re.sub(r"pip install .*", "", PAGE)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)) <= {*pgq_options(), "--verbosity", "--database"}


def test_the_unit_is_well_formed_and_starts_the_program_of_the_page() -> None:
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(FILES["/etc/systemd/system/shop-worker.service"])
    assert "pgq run worker:pgq " in unit["Service"]["ExecStart"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the page's programs are."""
    for name in ("worker.py", "service.py"):
        (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    return tmp_path


def test_the_worker_runs_with_the_options_of_the_page(
    queue: Queue, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(queue.dsn))
    monkeypatch.setenv("PGQ_CONCURRENCY", "50")
    probe = Probe(free_port())
    process = WorkerProcess(
        queue.dsn,
        "worker:pgq",
        *("--probe-port", str(probe.port), "--shutdown-timeout", "50s", "--max-time", "12h"),
        directory=directory,
    )
    try:
        probe.await_ready()
        assert probe.processes()[0]["slots"] == 50
        [job_id] = queue.enqueue("greet", arguments={"name": "Ada"})
        [entry] = eventually(lambda: queue.log(job_id))
        assert entry.result == "Hello Ada"
        process.send(signal.SIGTERM)
        assert process.await_end() == 0, process.output
    finally:
        process.clear_away()


@pytest.fixture
def service(queue: Queue, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(queue.dsn))
    monkeypatch.syspath_prepend(directory)
    yield import_module("service")
    for name in ("service", "worker"):
        sys.modules.pop(name, None)


async def test_a_worker_inside_a_web_application_tells_how_it_fares(service: Any) -> None:
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        assert (await client.get("/readyz")).status_code == 503
        async with service.lifespan(service.app):
            await aeventually(lambda: service.pgq.vitals().is_working)
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["running"]) == (200, 0)
        assert (await client.get("/readyz")).status_code == 503
    await service.pgq.connection.dispose()
