"""Tasks: what the shop does in the background. `manage.py pgq_worker` runs it."""

from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

from example_project.shop.models import Order, Receipt
from pgq_orm_django import task


@task(max_attempts=5)
def send_receipt(number: str) -> None:
    """Sends an order's receipt, once: should the job run twice, the second run finds the receipt and does nothing."""
    order = Order.objects.select_related("product").get(number=number)
    with transaction.atomic():
        _, is_first = Receipt.objects.get_or_create(order=order)
        if is_first:
            receipt(order).send()


def receipt(order: Order) -> EmailMessage:
    """The e-mail to the customer."""
    return EmailMessage(
        subject=f"Your receipt for order {order.number}",
        body=render_to_string("shop/receipt.txt", {"order": order}),
        to=[order.email],
    )
