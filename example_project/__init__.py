"""Two applications on one queue, a Django shop and a SQLAlchemy ledger; and the demo that plays their customers."""
