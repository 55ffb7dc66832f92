"""docs/from-pgqueuer.md: its examples run, and its statement moves what waits."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import Driver, sqlalchemy_url
from tests.queries.test_docs import CLAIM, blocks, close, run

PAGE = "from-pgqueuer.md"
TEXT = (Path(__file__).parents[2] / "docs" / PAGE).read_text(encoding="utf-8")

# as PgQueuer 1.6 has it
PGQUEUER = """
CREATE TYPE pgqueuer_status AS ENUM (
    'queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed'
);
CREATE TABLE pgqueuer (
    id bigserial PRIMARY KEY, priority integer NOT NULL, queue_manager_id uuid,
    created timestamptz NOT NULL DEFAULT now(), updated timestamptz NOT NULL DEFAULT now(),
    heartbeat timestamptz NOT NULL DEFAULT now(), execute_after timestamptz NOT NULL DEFAULT now(),
    status pgqueuer_status NOT NULL, entrypoint text NOT NULL, dedupe_key text, payload bytea, headers jsonb,
    attempts integer NOT NULL DEFAULT 0, slot bigint
);
INSERT INTO pgqueuer (priority, status, entrypoint, payload, headers, dedupe_key, execute_after) VALUES
    (3, 'queued', 'fetch', 'a', '{"b": 1}', 'only', now()),
    (0, 'queued', 'later', NULL, NULL, NULL, now() + interval '1 hour'),
    (0, 'picked', 'running', NULL, NULL, NULL, now());
"""


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_the_examples_run_and_answer_what_they_say(
    dsn: str, monkeypatch: pytest.MonkeyPatch, driver: Driver
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(dsn, driver))
    claims: list[tuple[str, object, object]] = []
    names: dict[str, Any] = {"claim": lambda text, found, said: claims.append((text, found, said))}
    for block in blocks(PAGE):
        await run(block, names)
    await close(names)
    for text, found, said in claims:
        assert found == said, text
    assert len(claims) == len(CLAIM.findall(TEXT))


def test_the_statement_moves_what_waits_and_leaves_what_runs(dsn: str) -> None:
    [statement] = re.findall(r"^```sql\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(PGQUEUER.encode())
        connection.execute(statement.encode())
        moved = connection.execute(
            "SELECT entrypoint, payload, priority, headers, dedupe_key, execute_after > updated FROM pgq_job"
        )
        assert moved.fetchall() == [
            ("fetch", b"a", 3, {"b": 1}, "only", False),
            ("later", None, 0, None, None, True),
        ]
        assert connection.execute("SELECT entrypoint FROM pgqueuer").fetchall() == [("running",)]


def test_every_page_that_it_names_exists() -> None:
    for page in re.findall(r"\]\(([\w-]+\.md)", TEXT):
        assert (Path(__file__).parents[2] / "docs" / page).exists(), page


IMPORTS = [
    (name, module)
    for names, module in re.findall(r"^\| `pgqueuer\.\w+`: (.*?) \| `(pgq_orm[\w.]+)`", TEXT, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
]


@pytest.mark.parametrize(("name", "module"), IMPORTS)
def test_every_name_is_where_the_page_says(name: str, module: str) -> None:
    assert hasattr(import_module(module), name)


def test_the_page_says_where_names_are() -> None:
    assert len(IMPORTS) > 10
