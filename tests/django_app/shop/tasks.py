import asyncio
import time

from pgq_orm.models import Job
from pgq_orm_django import aenqueue, entrypoint
from tests.django_app.shop.models import Order


@entrypoint("mail")
def mail(job: Job) -> None:
    pass


@entrypoint("send_receipt")
def send_receipt(job: Job) -> None:
    order = Order.objects.get(number=(job.payload or b"").decode())
    order.receipts += 1
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
