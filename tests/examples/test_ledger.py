"""The ledger by itself: its routes, its worker, its history."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from alembic.config import main as alembic

from example_project.ledger.app import LIMIT, create_app
from example_project.ledger.worker import create_pgqueuer
from pgq_orm.worker.settings import QueueExecutionMode

HISTORY = str(Path(__file__).parents[2] / "example_project" / "ledger" / "alembic.ini")

both_routes = pytest.mark.parametrize(
    ("route", "accounts"),
    [("/transfers", {"debit": "bank", "credit": "cards"}), ("/refunds", {})],
    ids=["AsyncSession", "Session"],
)


@pytest.fixture
def database(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGQ_DSN", empty_dsn)
    alembic(["-c", HISTORY, "upgrade", "head"])
    return empty_dsn


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ledger") as client,
    ):
        yield client


def count(dsn: str, table: str) -> int:
    with psycopg.connect(dsn) as connection:
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}".encode())
        return int(rows)


async def work() -> None:
    async with create_pgqueuer() as pgq:
        await pgq.run(mode=QueueExecutionMode.drain)


@both_routes
async def test_a_transfer_is_noted_with_its_job(
    database: str, ledger: httpx.AsyncClient, route: str, accounts: dict[str, str]
) -> None:
    answer = await ledger.post(route, json={**accounts, "amount": 1200})
    assert answer.status_code == 202
    assert (count(database, "ledger_transfer"), count(database, "pgq_job")) == (1, 1)


@both_routes
async def test_a_transfer_over_the_limit_leaves_neither_row_nor_job(
    database: str, ledger: httpx.AsyncClient, route: str, accounts: dict[str, str]
) -> None:
    answer = await ledger.post(route, json={**accounts, "amount": LIMIT + 1})
    assert answer.status_code == 403
    assert (count(database, "ledger_transfer"), count(database, "pgq_job")) == (0, 0)


@both_routes
async def test_a_transfer_that_is_sent_again_moves_nothing(
    database: str, ledger: httpx.AsyncClient, route: str, accounts: dict[str, str]
) -> None:
    request = {**accounts, "id": str(uuid4()), "amount": 1200}
    await ledger.post(route, json=request)
    while_it_waits = await ledger.post(route, json=request)
    await work()
    once_it_is_posted = await ledger.post(route, json=request)
    assert (while_it_waits.status_code, once_it_is_posted.status_code) == (409, 409)
    assert (count(database, "ledger_entry"), count(database, "pgq_job")) == (2, 0)


async def test_a_posted_transfer_appears_in_the_books(database: str, ledger: httpx.AsyncClient) -> None:
    assert "Broken on arrival" not in (await ledger.get("/")).text
    await ledger.post("/refunds", json={"amount": 1234, "memo": "Broken on arrival"})
    await work()
    page = (await ledger.get("/")).text
    assert "Broken on arrival" in page
    assert "<tr><td>All</td><td>12.34</td><td>12.34</td></tr>" in page


def test_the_history_leads_up_and_down_and_has_nothing_to_add(database: str) -> None:
    alembic(["-c", HISTORY, "check"])
    alembic(["-c", HISTORY, "downgrade", "base"])
    alembic(["-c", HISTORY, "upgrade", "head"])


def test_the_history_leaves_the_tables_of_others_alone(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE shop_order (id bigint PRIMARY KEY)")
    alembic(["-c", HISTORY, "check"])
