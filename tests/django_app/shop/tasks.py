import asyncio
import time
from datetime import date

from django.db.models import F

from pgq_orm import INJECTED
from pgq_orm.models import Job
from pgq_orm_django import aenqueue, entrypoint, task
from tests.django_app.shop.models import Order


@entrypoint("mail")
def mail(job: Job) -> None:
    pass


@entrypoint("send_receipt")
def send_receipt(job: Job) -> None:
    order = Order.objects.get(number=(job.payload or b"").decode())
    order.receipts = F("receipts") + 1  # another job may be counting at the same time
    order.save()


@entrypoint("send_receipt_later")
async def send_receipt_later(job: Job) -> None:
    order = await Order.objects.aget(number=(job.payload or b"").decode())
    await aenqueue("send_receipt", order.number.encode())


@entrypoint("wait_for_order")
def wait_for_order(job: Job) -> None:
    """Starts by placing the order `started`, and ends once somebody has placed `ended`."""
    Order.objects.create(number="started")
    while not Order.objects.filter(number="ended").exists():
        time.sleep(0.01)


@entrypoint("wait_for_ever")
async def wait_for_ever(job: Job) -> None:
    await Order.objects.acreate(number="started")
    await asyncio.Event().wait()


@task("greet", aliases=("welcome",), max_attempts=3)
def greet(order: str, on: date, *, loud: bool = False, job: Job = INJECTED) -> dict[str, object]:
    Order.objects.filter(number=order).update(receipts=F("receipts") + 1)
    return {"order": order.upper() if loud else order, "on": on, "job": job.id}


@task(queue="slow")
async def greet_later(order: str) -> int:
    return await greet.aenqueue(order, on=date(2026, 1, 1))
