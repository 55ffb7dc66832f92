"""Tasks of Django's own framework. Not among those that workers discover: they are imported by their path."""

from typing import TYPE_CHECKING, Any

import django

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
