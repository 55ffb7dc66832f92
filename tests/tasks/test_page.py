"""docs/tasks.md: its examples run, from the web application's request to the worker's result."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from pgq_orm.worker.settings import QueueExecutionMode
from tests.databases import Driver, django_database, sqlalchemy_url
from tests.examples.test_readme import mails_as_files, rows, run
from tests.worker.queues import Queue

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(params=["psycopg", "asyncpg"])
def load(
    request: pytest.FixtureRequest, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ModuleType]]:
    """Imports an example of the page, as the module that it says it is."""
    driver: Driver = request.param
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn, driver))
    monkeypatch.syspath_prepend(tmp_path)
    for name, block in BLOCKS.items():
        (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
    yield __import__
    for name in BLOCKS:
        sys.modules.pop(name, None)


async def drain(module: Any) -> None:
    await module.pgq.run(mode=QueueExecutionMode.drain, queues=("default", "slow"))
    await module.pgq.connection.dispose()


async def test_what_the_web_application_enqueues_the_worker_runs(
    load: Callable[[str], ModuleType], queue: Queue
) -> None:
    web = load("web")
    async with AsyncClient(transport=ASGITransport(web.app), base_url="http://shop") as client:
        job_id = (await client.post("/orders/7")).json()["job"]
        assert (await client.post("/closings", json=[8, 9])).json() == 2
        assert (await client.post("/orders/seven")).status_code == 422
    await web.engine.dispose()
    await drain(load("worker"))
    assert [row.result for row in queue.log(job_id)] == ["5.10"]
    assert sorted(row.entrypoint for row in queue.log()) == ["close_order"] * 2 + ["send_receipt"] * 3
    [left] = queue.jobs()
    assert (left.entrypoint, left.priority, left.arguments) == ("close_order", 5, {"order_id": 7})


async def test_jobs_of_the_old_name_run(load: Callable[[str], ModuleType], queue: Queue) -> None:
    [job_id] = queue.enqueue("finish_order", arguments={"order_id": 7}, queue="slow")
    await drain(load("worker"))
    assert queue.statuses(job_id) == ["successful"]


async def test_the_books_are_closed_by_hand(load: Callable[[str], ModuleType], queue: Queue) -> None:
    nightly = load("nightly")
    with queue.engine.begin() as connection:
        job_id = nightly.close_books.enqueue(connection, year=2025)
    await drain(nightly)
    assert [row.result for row in queue.log(job_id)] == [2025]
    assert queue.scalars("SELECT timezone FROM pgq_schedule") == ["Europe/Vienna"]


def test_the_django_tour_enqueues_and_runs(empty_dsn: str, tmp_path: Path) -> None:
    blocks = dict(re.findall(r"^```python\n# (shop/\w+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    run("-m", "django", "startproject", "site_", ".", cwd=tmp_path)
    run("-m", "django", "startapp", "shop", cwd=tmp_path)
    with (tmp_path / "site_" / "settings.py").open("a") as settings:
        settings.write(f"DATABASES = {{'default': {django_database(empty_dsn)!r}}}\n")
        settings.write(mails_as_files())
        settings.write("INSTALLED_APPS += ['pgq_orm_django', 'shop']\nALLOWED_HOSTS = ['testserver']\n")
    for path, block in blocks.items():
        (tmp_path / path).write_text(block)

    run("manage.py", "migrate", "-v", "0", cwd=tmp_path)
    run(
        *("manage.py", "shell", "-c"),
        "from django.test import RequestFactory\n"
        "from shop.views import place_order\n"
        "place_order(RequestFactory().post('/', {'email': 'ann@example.com'}))",
        cwd=tmp_path,
    )
    run("manage.py", "pgq_worker", "--drain", cwd=tmp_path)

    (mail,) = (tmp_path / "mails").iterdir()
    assert "Placed on 31 January 2026" in mail.read_text()
    assert rows(empty_dsn, "SELECT entrypoint, status FROM pgq_log") == [("send_receipt", "successful")]
