"""Tests of the shop: `PGQ_DSN=postgresql://… python example_project/manage.py test example_project.shop`."""

from typing import Any

from django.core import mail
from django.test import TestCase
from django.utils import timezone

from example_project.shop.models import Order, Product, Receipt
from example_project.shop.tasks import send_receipt
from pgq_orm.models import Job as PickedJob
from pgq_orm.statuses import JobStatus
from pgq_orm_django.models import Job

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
        arguments: dict[str, Any] = dict(Job.objects.values_list("entrypoint", "arguments"))
        assert arguments.keys() == {"send_receipt", "post_entry"}
        assert arguments["send_receipt"] == {"order": order.number}
        assert arguments["post_entry"]["amount"] == 2300

    def test_a_declined_card_leaves_neither_order_nor_job(self) -> None:
        answer = self.order(card_number=DECLINED_CARD)
        self.assertContains(answer, "was not placed", status_code=402)
        assert not Order.objects.exists()
        assert not Job.objects.exists()

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

    def job(self) -> PickedJob:
        now = timezone.now()
        return PickedJob(
            id=1,
            lease=1,
            created=now,
            updated=now,
            execute_after=now,
            priority=0,
            attempts=0,
            status=JobStatus.PICKED,
            queue="default",
            entrypoint="send_receipt",
            arguments={"order": self.order.number},
        )

    def test_a_receipt_names_the_order(self) -> None:
        send_receipt(self.job())
        (message,) = mail.outbox
        assert message.to == ["bo@customers.example"]
        assert self.order.number in message.subject
        assert "Dear Bo & Co" in message.body
        assert "1 × Enamel Cup" in message.body

    def test_a_job_that_runs_twice_sends_one_receipt(self) -> None:
        send_receipt(self.job())
        send_receipt(self.job())
        assert len(mail.outbox) == 1
        assert Receipt.objects.count() == 1

    def test_the_pages_show_whether_it_was_sent(self) -> None:
        pages = ["/orders/", f"/orders/{self.order.number}/"]
        for page in pages:
            self.assertContains(self.client.get(page), "Receipt on its way")
        send_receipt(self.job())
        for page in pages:
            self.assertContains(self.client.get(page), "Receipt sent")
