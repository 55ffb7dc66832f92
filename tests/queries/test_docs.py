"""The pages about queries and results: their blocks run, one after the other, and answer what they say.

`expression  # → value` is a claim that the two are equal.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from pgq_orm import operations
from pgq_orm.methods import Administration
from tests.databases import Driver, sqlalchemy_url
from tests.queries.workshop import Workshop

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"^( *)(.+?)  # → (.+)$", re.MULTILINE)


def blocks(page: str) -> list[str]:
    found = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    return [
        block for block in found if not block.startswith("# shop/")
    ]  # a Django project's own test runs those


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("page", ["queries.md", "queues.md", "results.md", "workflows.md"])
async def test_the_examples_run_and_answer_what_they_say(
    workshop: Workshop, dsn: str, monkeypatch: pytest.MonkeyPatch, page: str, driver: Driver
) -> None:
    workshop.run(operations.unregister_worker(workshop.worker_id))
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn, driver))
    monkeypatch.setenv("SYNC_DATABASE_URL", sqlalchemy_url(dsn))
    claims: list[tuple[str, object, object]] = []
    names: dict[str, Any] = {"claim": lambda text, found, said: claims.append((text, found, said))}
    for block in blocks(page):
        await run(block, names)
    await close(names)
    for text, found, said in claims:
        assert found == said, text
    assert len(claims) == sum(len(CLAIM.findall(block)) for block in blocks(page))


async def run(block: str, names: dict[str, Any]) -> None:
    """Runs a block in which one may await."""
    checked = CLAIM.sub(lambda claim: f"{claim[1]}claim({claim[2]!r}, {claim[2]}, {claim[3]})", block)
    code = compile(checked, "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)
    if running is not None:
        await running


async def close(names: dict[str, Any]) -> None:
    for value in names.values():
        if isinstance(value, AsyncEngine):
            await value.dispose()
        elif isinstance(value, Engine):
            value.dispose()


def test_every_method_is_in_the_table() -> None:
    page = (DOCS / "queries.md").read_text(encoding="utf-8")
    methods = [name for name in vars(Administration) if not name.startswith("_")]
    assert not [name for name in methods if f"`{name}" not in page]
