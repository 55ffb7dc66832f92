"""A shop's tasks, as a module of an application has them: where no engine exists."""

import asyncio
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pgq_orm import INJECTED, Registry
from pgq_orm.executors import DatabaseRetryEntrypointExecutor, ProcessExecutor
from pgq_orm.models import Context, Job, Schedule

tasks = Registry()
async_tasks = Registry()
"""Those for a worker with an AsyncEngine."""


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    sku: str
    price: Decimal
    colours: list[Colour] = field(default_factory=list)


class Address(BaseModel):
    street: str = Field(alias="Street")
    since: date | None = None


@tasks.task
async def ship(
    order_id: int,
    placed: datetime,
    lines: list[Line],
    to: Address,
    tracking: UUID,
    weights: dict[str, Decimal] = {},  # noqa: B006 - never changed
    express: timedelta | None = None,
    colour: Colour = Colour.RED,
) -> dict[str, Any]:
    """Answers what it was given, as Python sees it."""
    return {
        "total": sum((line.price for line in lines), Decimal(0)),
        "kinds": [
            type(value).__name__
            for value in (placed, lines[0], to, tracking, express, colour, lines[0].colours)
        ],
        "weights": weights,
    }


@tasks.task("send_receipt", aliases=("mail_receipt",), max_attempts=5)
async def send_receipt(order_id: Annotated[int, Field(gt=0)], copies: int = 1) -> str:
    return f"{copies} × receipt {order_id}"


@tasks.task(queue="slow", priority=7)
def count_words(text: str) -> int:
    return len(text.split())


@async_tasks.task
async def enqueue_receipts(order_ids: list[int], session: AsyncSession = INJECTED) -> list[int]:
    await session.execute(text("SELECT 1"))
    return [await send_receipt.enqueue(session, order_id) for order_id in order_ids]


@tasks.task
async def describe(
    note: str,
    context: Context = INJECTED,
    job: Job = INJECTED,
    schedule: Schedule | None = INJECTED,
    *,
    loud: bool = False,
) -> list[object]:
    return [note.upper() if loud else note, context.job.id == job.id, job.entrypoint, schedule is None]


@tasks.task(executor_factory=DatabaseRetryEntrypointExecutor)
def square(number: int) -> int:
    return number**2


@tasks.task(executor_factory=ProcessExecutor)
def cube(number: int) -> Decimal:
    return Decimal(number**3)


@tasks.schedule("close_books", "0 3 * * *")
@tasks.task
async def close_books(day: date | None = None, schedule: Schedule | None = INJECTED) -> str:
    await asyncio.sleep(0)
    if schedule is not None and schedule.last_run is not None:
        day = schedule.last_run.date()
    return f"closed {day}"
