"""Tests of the shop: `PGQ_DSN=postgresql://… python example_project/manage.py test example_project.shop`."""

from typing import Any

from django.core import mail
from django.test import TestCase

from example_project.shop.models import Order, Product, Receipt
from example_project.shop.tasks import send_receipt
from pgq_orm_django.testing import assert_enqueued, assert_not_enqueued, drain

GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000002"


class OrderingTest(TestCase):
    def order(self, **changes: str) -> Any:
        form = {
            "customer": "Ada",
            "email": "ada@customers.example",
            "quantity": "2",
            "card_number": GOOD_CARD,
        }
        return self.client.post("/products/house-espresso/", {**form, **changes})

    def test_an_order_brings_its_jobs_along(self) -> None:
        answer = self.order()
        order = Order.objects.get()
        self.assertRedirects(answer, f"/orders/{order.number}/")
        assert_enqueued(send_receipt.call(order.number), count=1)
        [posting] = assert_enqueued("post_entry", count=1)
        assert posting.arguments["posting"]["amount"] == 2300

    def test_a_declined_card_leaves_neither_order_nor_job(self) -> None:
        answer = self.order(card_number=DECLINED_CARD)
        self.assertContains(answer, "was not placed", status_code=402)
        assert not Order.objects.exists()
        assert_not_enqueued()

    def test_what_is_filled_in_wrongly_is_asked_for_again(self) -> None:
        answer = self.order(card_number="1234", email="ada")
        self.assertContains(answer, "A card number has 16 digits.")
        self.assertContains(answer, "Enter a valid email address.")
        assert not Order.objects.exists()

    def test_a_form_from_elsewhere_is_refused(self) -> None:
        self.client = self.client_class(enforce_csrf_checks=True)
        assert self.order().status_code == 403


class ReceiptTest(TestCase):
    def setUp(self) -> None:
        product = Product.objects.get(slug="enamel-cup")
        self.order = Order.objects.create(
            product=product, quantity=1, total=product.price, customer="Bo & Co", email="bo@customers.example"
        )

    def test_a_receipt_names_the_order(self) -> None:
        send_receipt.enqueue(self.order.number)
        drain()
        (message,) = mail.outbox
        assert message.to == ["bo@customers.example"]
        assert self.order.number in message.subject
        assert "Dear Bo & Co" in message.body
        assert "1 × Enamel Cup" in message.body

    def test_a_job_that_runs_twice_sends_one_receipt(self) -> None:
        send_receipt(self.order.number)
        send_receipt(self.order.number)
        assert len(mail.outbox) == 1
        assert Receipt.objects.count() == 1

    def test_the_pages_show_whether_it_was_sent(self) -> None:
        pages = ["/orders/", f"/orders/{self.order.number}/"]
        for page in pages:
            self.assertContains(self.client.get(page), "Receipt on its way")
        send_receipt(self.order.number)
        for page in pages:
            self.assertContains(self.client.get(page), "Receipt sent")
