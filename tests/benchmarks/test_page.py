"""The page about performance: its commands and its example run, its pictures are there, and it leaves no figure out."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from benchmarks.curves import CURVES
from benchmarks.measurements import NAMES
from pgq_orm.sqlalchemy import Job, Queries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^make .*?(?=\s+#|$)", PAGE, re.MULTILINE)
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_make_knows_the_command(command: str) -> None:
    done = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "-m benchmarks" in done.stdout


async def test_the_example_enqueues_whatever_comes(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        names = {
            "session": session,
            "Queries": Queries,
            "payloads": (b"%d" % number for number in range(2_500)),
        }
        await eval(compile(EXAMPLE, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        assert await session.scalar(select(func.count()).select_from(Job)) == 2_500


def test_every_picture_is_there() -> None:
    pictures = re.findall(r"\]\((performance/.+?)\)", PAGE)
    assert pictures
    assert [picture for picture in pictures if not (ROOT / "docs" / picture).is_file()] == []


@pytest.mark.parametrize("name", [*NAMES, *(curve.name for curve in CURVES), "memory"])
def test_every_figure_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE
