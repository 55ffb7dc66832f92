"""The shop: a Django application that sells coffee and sends its receipts by jobs."""
