"""Tasks of Django's own framework. Not among those that workers discover: they are imported by their path."""

from typing import TYPE_CHECKING, Any

import django
from asgiref.sync import sync_to_async
from django.db import connection

from tests.django_app.shop.models import Order

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


class Refused(Exception):
    pass


@task
def count_receipts(number: str, *, plus: int = 0) -> dict[str, int]:
    return {number: Order.objects.get(number=number).receipts + plus}


@task
async def place_order(number: str) -> None:
    await Order.objects.acreate(number=number)


@task
def refuse() -> None:
    raise Refused("out\nof stock")


@task
def answer_unspeakably() -> object:
    return object()


@task(takes_context=True, backend="patient", queue_name="slow")
def succeed_at_last(context: Any) -> int:
    if context.attempt < 2:
        raise ValueError("not yet")
    return int(context.attempt)


@task(backend="exact")
def sell(number: str, fails: bool) -> bool:
    Order.objects.create(number=number)
    if fails:
        raise Refused
    return connection.in_atomic_block


@task(backend="exact")
async def sell_later(number: str, fails: bool) -> bool:
    return await sync_to_async(sell.func)(number, fails)
