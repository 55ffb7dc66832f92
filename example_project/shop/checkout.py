"""Checkout: charging a card. Stands in for a payment provider, which says no when it likes."""

from decimal import Decimal

DECLINED_ENDING = "0002"


class CardDeclined(Exception):
    """The bank refused the payment. Nothing was charged."""


def charge(card_number: str, amount: Decimal) -> None:
    """Takes the money, or raises CardDeclined."""
    if card_number.endswith(DECLINED_ENDING):
        raise CardDeclined(f"the card ending in {card_number[-4:]} was declined for € {amount}")
