"""docs/transactions.md: its examples run, through SQLAlchemy and in a Django project."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.databases import django_database, sqlalchemy_url
from tests.examples.test_readme import rows, run
from tests.transactional.ledgers import Ledger
from tests.transactional.test_completion import DRAIN

PAGE = (Path(__file__).parents[2] / "docs" / "transactions.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))

MODELS = """
from django.db import models


class Product(models.Model):
    stock = models.IntegerField()
"""
ENQUEUE = """
from pgq_orm_django import enqueue
from shop.models import Product

product = Product.objects.create(stock=5)
enqueue(["sell", "sell_later"], arguments={"product": product.pk})
"""


@pytest.fixture(params=["psycopg", "asyncpg"])
def example(
    request: pytest.FixtureRequest, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The page's application on SQLAlchemy."""
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(ledger.dsn, request.param))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ledger", raising=False)
    (tmp_path / "ledger.py").write_text(BLOCKS["ledger.py"], encoding="utf-8")
    return __import__("ledger")


async def test_the_money_is_moved_and_whom_it_concerns_is_told(
    example: Any, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.execute("CREATE TABLE account (name text PRIMARY KEY, cents bigint CHECK (cents >= 0))")
    ledger.execute("INSERT INTO account VALUES ('ann', 500), ('bob', 0)")
    ledger.enqueue("move_money", arguments={"entries": {"ann": -300, "bob": 300}})
    ledger.enqueue("move_money", arguments={"entries": {"bob": 9900, "ann": -9900}}, max_attempts=1)
    await example.pgq.run(mode=DRAIN)
    await example.engine.dispose()
    assert ledger.scalars("SELECT cents FROM account ORDER BY name") == [200, 300]
    assert sorted((entry.entrypoint, entry.status) for entry in ledger.log()) == [
        ("move_money", "exception"),
        ("move_money", "successful"),
        ("notify", "successful"),
    ]
    assert capsys.readouterr().out == "moved: {'ann': -300, 'bob': 300}\n"


def test_the_shop_sells(empty_dsn: str, tmp_path: Path) -> None:
    run("-m", "django", "startproject", "site_", ".", cwd=tmp_path)
    run("-m", "django", "startapp", "shop", cwd=tmp_path)
    with (tmp_path / "site_" / "settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS += ["pgq_orm_django", "shop"]\n')
        settings.write(f"DATABASES = {{'default': {django_database(empty_dsn)!r}}}\n")
    (tmp_path / "shop" / "models.py").write_text(MODELS)
    (tmp_path / "shop" / "tasks.py").write_text(BLOCKS["shop/tasks.py"])
    run("manage.py", "makemigrations", "shop", cwd=tmp_path)
    run("manage.py", "migrate", cwd=tmp_path)
    run("manage.py", "shell", "--command", ENQUEUE, cwd=tmp_path)

    run("manage.py", "pgq_worker", "--drain", cwd=tmp_path)

    assert rows(empty_dsn, "SELECT stock FROM shop_product") == [(3,)]
    assert rows(empty_dsn, "SELECT entrypoint, status FROM pgq_log ORDER BY entrypoint") == [
        ("sell", "successful"),
        ("sell_later", "successful"),
        ("send_receipt", "successful"),
    ]
