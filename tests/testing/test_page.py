"""docs/testing.md: its tests pass where a user runs them, with the plugin and with Django's own runner."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pgq_orm.embedded import EmbeddedServerError, embedded_binaries
from tests.databases import django_database
from tests.examples.test_readme import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# ([\w/]+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
PLUGINS = ("-p", "pgq_orm.pytest_plugin", "-p", "pytest_asyncio.plugin")


def pytest_in(directory: Path, *options: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, *options],
        cwd=directory,
        env={
            **{name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(directory), os.environ.get("PYTHONPATH", "")]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def bakery(tmp_path: Path) -> Path:
    for name in ("bakery.py", "conftest.py", "test_bakery.py"):
        (tmp_path / name).write_text(BLOCKS[name], encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    return tmp_path


def test_the_bakerys_tests_pass(bakery: Path, dsn: str) -> None:
    status, output = pytest_in(bakery, PGQ_TEST_DSN=dsn)
    assert status == 0, output
    assert "5 passed" in output


def test_they_bring_a_server_along(bakery: Path) -> None:
    try:
        embedded_binaries()
    except EmbeddedServerError:
        pytest.skip("the extra `embedded` is not installed")
    status, output = pytest_in(bakery, "-k", "alone", PGQ_TEST_DSN="")
    assert status == 0, output


def test_the_tables_are_made_where_there_are_none(bakery: Path, empty_dsn: str) -> None:
    status, output = pytest_in(bakery, PGQ_TEST_DSN=empty_dsn)
    assert status == 0, output


def test_the_error_that_the_page_shows_is_the_one_that_is_shown(bakery: Path, dsn: str) -> None:
    (bakery / "test_bakery.py").write_text(
        "from bakery import bake, place_order\n"
        "async def test_another(session, assert_enqueued) -> None:\n"
        "    await place_order(session, 7, loaves=2)\n"
        "    await assert_enqueued(session, bake.call(8))\n"
    )
    status, output = pytest_in(bakery, PGQ_TEST_DSN=dsn)
    assert status == 1
    [shown] = re.findall(r"^```\n(no job .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in shown.splitlines():
        assert re.sub(r"\d+", "#", line) in re.sub(r"\d+", "#", output), output
    assert "pgq_orm" not in output.partition("FAILURES")[2]  # none of our frames


def test_a_failures_traceback_leads_from_the_test_to_the_handler(bakery: Path, dsn: str) -> None:
    (bakery / "test_bakery.py").write_text(
        "from bakery import place_order\n"
        "async def test_too_much(session, drain) -> None:\n"
        "    await place_order(session, 7, loaves=500)\n"
        "    await drain(session)\n"
    )
    status, output = pytest_in(bakery, "--tb=short", PGQ_TEST_DSN=dsn)
    assert status == 1
    _, _, failures = output.partition("FAILURES")
    frames = re.findall(r"^(\S+\.py):\d+: in ", failures, re.MULTILINE)
    assert frames == ["test_bakery.py", "bakery.py"], output
    assert "raised by job 1 of 'bake', at attempt 3" in failures


def test_a_misspelt_name_is_refused_by_the_fixtures_unless_they_know_no_handlers(
    bakery: Path, dsn: str
) -> None:
    (bakery / "test_bakery.py").write_text(
        "async def test_it(session, assert_not_enqueued) -> None:\n"
        "    await assert_not_enqueued(session, 'delivre')\n"
    )
    status, output = pytest_in(bakery, PGQ_TEST_DSN=dsn)
    assert status == 1
    assert "no handler for entrypoint 'delivre': did you mean 'deliver'?" in output
    conftest = (bakery / "conftest.py").read_text()
    (bakery / "conftest.py").write_text(conftest.replace("def pgq_handlers", "def handlers"))
    status, output = pytest_in(bakery, PGQ_TEST_DSN=dsn)
    assert status == 0, output


def test_drain_without_handlers_says_what_to_define(bakery: Path, dsn: str) -> None:
    (bakery / "conftest.py").unlink()
    (bakery / "test_bakery.py").write_text("def test_it(drain) -> None:\n    pass\n")
    status, output = pytest_in(bakery, PGQ_TEST_DSN=dsn)
    assert status != 0
    assert "define a fixture `pgq_handlers` in conftest.py" in output


def test_the_shops_tests_pass_under_djangos_runner(empty_dsn: str, tmp_path: Path) -> None:
    run("-m", "django", "startproject", "site_", ".", cwd=tmp_path)
    run("-m", "django", "startapp", "shop", cwd=tmp_path)
    with (tmp_path / "site_" / "settings.py").open("a") as settings:
        settings.write(f"DATABASES = {{'default': {django_database(empty_dsn)!r}}}\n")
        settings.write("INSTALLED_APPS += ['pgq_orm_django', 'shop']\n")
    (tmp_path / "shop" / "tests.py").write_text(BLOCKS["shop/tests.py"])
    (tmp_path / "shop" / "tasks.py").write_text(
        "from pgq_orm_django import schedule, task\n"
        "@schedule('report', '0 3 * * *')\n"
        "def report(schedule) -> str:\n"
        "    return f'reported at {schedule.expression}'\n"
        "@task(max_attempts=2)\n"
        "def send_receipt(email: str) -> None:\n"
        "    if '@' not in email: raise ValueError('no such address')\n"
    )
    (tmp_path / "shop" / "views.py").write_text(
        "from shop.tasks import send_receipt\ndef place_order(email):\n    send_receipt.enqueue(email)\n"
    )
    run("manage.py", "test", "--noinput", cwd=tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = site_.settings\n")
    pytest.importorskip("pytest_django")
    status, output = pytest_in(tmp_path, "-p", "pytest_django.plugin", "shop/tests.py")
    assert status == 0, output
    assert "3 passed" in output
