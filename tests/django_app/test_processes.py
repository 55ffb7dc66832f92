"""Handlers in processes of their own: Django is there, and a broken connection is not left to the next job."""

import asyncio
import json
from functools import partial

import pytest

from pgq_orm.applications import PgQueuer
from pgq_orm.executors import ProcessExecutor
from pgq_orm.registry import Registry
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import enqueue, models
from pgq_orm_django.store import DatabaseStore
from tests.databases import django_database
from tests.django_app.shop.models import Order
from tests.django_app.shop.stocktaking import count_orders


@pytest.fixture
def registry(db: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("PGQ_TEST_DATABASES", json.dumps({"default": django_database(db)}))
    registry = Registry()
    registry.entrypoint("mail", executor_factory=partial(ProcessExecutor, processes=1))(count_orders)
    return registry


def drain(registry: Registry) -> None:
    pgq = PgQueuer(DatabaseStore("default"), registry=registry)
    asyncio.run(pgq.run(mode=QueueExecutionMode.drain))


def test_the_orm_works_there_and_each_job_has_a_sound_connection(registry: Registry) -> None:
    Order.objects.create(number="1")
    enqueue(["mail"] * 3, [None, b"break", None], priority=[2, 1, 0])

    drain(registry)

    first, broken, after = models.Log.objects.order_by("-priority")
    assert (first.status, first.result) == ("successful", 1)
    assert (broken.status, (broken.error or "").partition(":")[0]) == ("exception", "OperationalError")
    assert (after.status, after.result) == ("successful", 1)
