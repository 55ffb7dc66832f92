"""The shop by itself: its own tests, as its developers run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(empty_dsn: str) -> dict[str, str]:
    return {**os.environ, "PGQ_DSN": empty_dsn, "DJANGO_SETTINGS_MODULE": "example_project.shop.settings"}


@pytest.mark.parametrize(
    "command", [["test", "--noinput", "example_project.shop"], ["makemigrations", "--check"]]
)
def test_the_shop_passes(environment: dict[str, str], command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "example_project/manage.py", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
