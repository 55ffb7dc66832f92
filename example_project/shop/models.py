"""Models: what is sold, what was ordered, and which receipts were sent."""

import secrets

from django.db import models
from django.db.models.functions import Now
from django.urls import reverse

UNMISTAKABLE = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def new_number() -> str:
    """A number for an order, known before the order is saved and too long to be guessed."""
    return "KC-" + "".join(secrets.choice(UNMISTAKABLE) for _ in range(8))


class Product(models.Model):
    name = models.CharField(max_length=60)
    slug = models.SlugField(unique=True)
    description = models.TextField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    hue = models.PositiveSmallIntegerField(help_text="The colour of its picture, in degrees.")

    class Meta:
        ordering = ["price"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("product", args=[self.slug])


class Order(models.Model):
    """An order that was paid for. Never changed afterwards; a declined one does not exist."""

    number = models.CharField(max_length=20, unique=True, default=new_number)
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveSmallIntegerField()
    total = models.DecimalField(max_digits=8, decimal_places=2)
    customer = models.CharField(max_length=80)
    email = models.EmailField()
    placed = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.number])


class Receipt(models.Model):
    """That an order's receipt was sent."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE)
    sent = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"Receipt for {self.order}"
