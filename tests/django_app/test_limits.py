"""Limits in a Django project: keys given at enqueue, and handlers that may not run as they like."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import InvalidJobError
from pgq_orm.limits import Limit
from pgq_orm.models import Job
from pgq_orm.registry import Registry
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import aenqueue, enqueue, models
from pgq_orm_django.store import DatabaseStore
from tests.eventually import aeventually, eventually

pytestmark = pytest.mark.usefixtures("db")

LIMIT = 3


class Gauge:
    """The most that ever ran at the same time, of all jobs and of each key; none ends before as many ran as may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[str | None] = []
        self.most = self.most_of_a_key = 0

    def begin(self, job: Job) -> None:
        with self._lock:
            self._running.append(job.concurrency_key)
            self.most = max(self.most, len(self._running))
            self.most_of_a_key = max(self.most_of_a_key, self._running.count(job.concurrency_key))

    def end(self, job: Job) -> None:
        with self._lock:
            self._running.remove(job.concurrency_key)


def sync_handler(gauge: Gauge) -> Callable[[Job], Any]:
    def work(job: Job) -> None:
        gauge.begin(job)
        eventually(lambda: gauge.most >= LIMIT)
        time.sleep(0.01)
        gauge.end(job)

    return work


def async_handler(gauge: Gauge) -> Callable[[Job], Any]:
    async def work(job: Job) -> None:
        gauge.begin(job)
        await aeventually(lambda: gauge.most >= LIMIT)
        await asyncio.sleep(0.01)
        gauge.end(job)

    return work


def drain_by_two(registry: Registry) -> None:
    """Two workers of this process, each with connections of its own."""

    async def work() -> None:
        workers = [PgQueuer(DatabaseStore("default"), registry=registry) for _ in range(2)]
        await asyncio.gather(*(pgq.run(mode=QueueExecutionMode.drain) for pgq in workers))

    asyncio.run(work())


@pytest.mark.parametrize("make_handler", [sync_handler, async_handler])
def test_workers_keep_to_the_limits_together(make_handler: Callable[[Gauge], Callable[[Job], Any]]) -> None:
    gauge, registry = Gauge(), Registry()
    registry.entrypoint("mail", concurrency_limit=LIMIT, concurrency_limit_per_key=1)(make_handler(gauge))
    keys = [f"customer {number % 5}" for number in range(40)]
    enqueue(["mail"] * len(keys), concurrency_key=keys)
    drain_by_two(registry)
    assert models.Log.objects.successful().count() == len(keys)
    assert gauge.most == LIMIT
    assert gauge.most_of_a_key == 1


def test_the_projects_own_decorators_take_limits() -> None:
    from pgq_orm_django import registry

    def work(job: Job) -> None: ...

    taken = set(registry.registry.entrypoints)
    registry.entrypoint("limited", requests_per_second=2)(work)
    registry.schedule("limited at night", "@daily", serialized_dispatch=True)(lambda schedule: None)
    try:
        assert registry.registry.limits == {
            "limited": Limit(per_second=2),
            "limited at night": Limit(concurrency=1),
        }
    finally:
        registry.registry.schedules.pop(("limited at night", "@daily"))
        for name in set(registry.registry.entrypoints) - taken:
            del registry.registry.entrypoints[name]


def test_a_key_is_one_for_all_jobs_or_one_for_each() -> None:
    enqueue("mail", concurrency_key="a")
    enqueue(["mail"] * 3, concurrency_key=["a", None, "b"])
    async_to_sync(aenqueue)("mail", concurrency_key="b")
    models.Job.objects.create(entrypoint="mail", concurrency_key="b")
    keys = list(models.Job.objects.order_by("id").values_list("concurrency_key", flat=True))
    assert keys == ["a", "a", None, "b", "b", "b"]
    assert models.Job.objects.for_concurrency_key("a").count() == 2
    assert models.Job.objects.for_concurrency_key("a", "b").count() == 5


def test_a_key_that_cannot_be_stored_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidJobError, match="concurrency_key must have 1 to 500 characters"):
        enqueue("mail", concurrency_key="")
    assert not models.Job.objects.exists()
