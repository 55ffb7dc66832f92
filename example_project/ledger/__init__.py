"""The ledger: a FastAPI application on SQLAlchemy that keeps double-entry books, posted by jobs."""
