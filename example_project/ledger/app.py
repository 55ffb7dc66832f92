"""The ledger's HTTP interface: transfers and refunds are asked for here, and posted by the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Self
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from example_project.ledger.books import AccountName, Posting
from example_project.ledger.database import database_url
from example_project.ledger.models import Transfer
from example_project.ledger.pages import books_page
from example_project.ledger.tasks import post_entry
from pgq_orm.errors import DuplicateJobError

LIMIT = 5_000_00
"""Cents that may be moved without a second signature."""


class RefundRequest(BaseModel):
    """Money for a customer, under an id of the caller's choice: sent again, it is not paid again."""

    id: UUID = Field(default_factory=uuid4)
    amount: int = Field(gt=0, description="cents")
    memo: str = Field(default="", max_length=200)


class TransferRequest(RefundRequest):
    """Money to be moved from one account to another."""

    debit: AccountName
    credit: AccountName

    @model_validator(mode="after")
    def check_accounts(self) -> Self:
        if self.debit == self.credit:
            raise ValueError("debit and credit must be two accounts")
        return self


def create_app() -> FastAPI:
    """The application, on the database that PGQ_DSN names."""
    engine = create_engine(database_url())
    async_engine = create_async_engine(database_url())
    new_session = sessionmaker(engine)
    new_async_session = async_sessionmaker(async_engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await async_engine.dispose()
        engine.dispose()

    app = FastAPI(title="Ledger", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.post("/transfers", status_code=202)
    async def transfer(request: TransferRequest) -> Posting:
        """Notes a transfer and enqueues its posting, both or neither: in an `AsyncSession`."""
        posting = Posting(str(request.id), request.debit, request.credit, request.amount, request.memo)
        async with new_async_session.begin() as session:
            session.add(Transfer(**asdict(posting)))
            await post_entry.options(dedupe_key=posting.dedupe_key).enqueue(session, posting)
            authorise(request.amount)
        return posting

    @app.post("/refunds", status_code=202)
    def refund(request: RefundRequest) -> Posting:
        """Notes a refund and enqueues its posting, both or neither: in a `Session`."""
        posting = Posting(str(request.id), "refunds", "cards", request.amount, request.memo)
        with new_session.begin() as session:
            session.add(Transfer(**asdict(posting)))
            post_entry.options(dedupe_key=posting.dedupe_key).enqueue(session, posting)
            authorise(request.amount)
        return posting

    @app.get("/", response_class=HTMLResponse)
    def books() -> str:
        """The books, for people."""
        with new_session() as session:
            return books_page(session)

    @app.exception_handler(IntegrityError)
    @app.exception_handler(DuplicateJobError)
    async def known_already(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "this id was used before: nothing was moved again"}, status_code=409)

    return app


def authorise(amount: int) -> None:
    """Asks whether so much may be moved. Raising takes back what the caller's transaction has done so far."""
    if amount > LIMIT:
        raise HTTPException(403, f"more than {LIMIT / 100:,.2f} needs a second signature: nothing was moved")
