"""Forms: what a customer fills in."""

from django import forms
from django.core.validators import RegexValidator

from example_project.shop.models import Order, Product


class OrderForm(forms.ModelForm):
    """An order of one product, and the card that pays for it. The card is not kept."""

    quantity = forms.IntegerField(min_value=1, max_value=20, initial=1)
    card_number = forms.CharField(
        validators=[RegexValidator(r"^\d{16}$", "A card number has 16 digits.")],
        help_text="Any 16 digits. A card that ends in 0002 is declined.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    class Meta:
        model = Order
        fields = ["customer", "email", "quantity"]
        labels = {"customer": "Your name", "email": "E-mail for the receipt"}

    def order(self, product: Product) -> Order:
        """The order that was filled in, not yet saved."""
        order: Order = self.save(commit=False)
        order.product = product
        order.total = product.price * order.quantity
        return order
