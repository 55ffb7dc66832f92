"""Views: the pages of the shop."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from example_project.shop.checkout import CardDeclined, charge
from example_project.shop.forms import OrderForm
from example_project.shop.models import Order, Product
from example_project.shop.tasks import send_receipt
from pgq_orm_django import enqueue

LATEST = 50


def products(request: HttpRequest) -> HttpResponse:
    """What there is to buy."""
    return render(request, "shop/products.html", {"products": Product.objects.all()})


def product(request: HttpRequest, slug: str) -> HttpResponse:
    """One product, and the form to order it."""
    product = get_object_or_404(Product, slug=slug)
    form = OrderForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        order = form.order(product)
        try:
            place(order, form.cleaned_data["card_number"])
        except CardDeclined as declined:
            return render(request, "shop/declined.html", {"order": order, "reason": declined}, status=402)
        return redirect(order)
    return render(request, "shop/product.html", {"product": product, "form": form})


def place(order: Order, card_number: str) -> None:
    """Saves a paid order with its jobs; raises CardDeclined, and then there is neither order nor job."""
    with transaction.atomic():
        order.save()
        send_receipt.options(dedupe_key=f"receipt-{order.number}").enqueue(order.number)
        # the ledger's: by its name, for its code is not here
        enqueue("post_entry", arguments={"posting": sale(order)}, dedupe_key=f"entry-{order.number}")
        charge(card_number, order.total)


def sale(order: Order) -> dict[str, str | int]:
    """What the ledger's worker needs to know of an order."""
    return {
        "transfer_id": order.number,
        "debit": "cards",
        "credit": "sales",
        "amount": int(order.total * 100),
        "memo": f"{order.quantity} × {order.product}",
    }


def orders(request: HttpRequest) -> HttpResponse:
    """The latest orders, and whether their receipts were sent."""
    latest = Order.objects.select_related("product", "receipt")[:LATEST]
    return render(request, "shop/orders.html", {"orders": latest, "count": Order.objects.count()})


def order(request: HttpRequest, number: str) -> HttpResponse:
    """One order, as its customer sees it."""
    found = get_object_or_404(Order.objects.select_related("product", "receipt"), number=number)
    return render(request, "shop/order.html", {"order": found})
