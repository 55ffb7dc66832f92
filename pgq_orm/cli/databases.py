"""Databases: the one that a command is for, and how its work is done there."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, TypeVar

import typer
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pgq_orm.cli.complaints import complaining, unreachable
from pgq_orm.sqlalchemy.session import run
from pgq_orm.sqlalchemy.urls import async_url
from pgq_orm.steps import Steps, carry_out

T = TypeVar("T")


def _parse_dsn(dsn: str) -> URL:
    try:
        return async_url(dsn)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Dsn = Annotated[
    URL,
    typer.Option(
        "--dsn",
        envvar="PGQ_DSN",
        parser=_parse_dsn,
        metavar="URL",
        help="The database, for example postgresql://user@host/database.",
    ),
]


def ask(url: URL, steps: Steps[T]) -> T:
    """Carries steps out in one transaction, committed at the end; what goes wrong ends the command."""
    return in_transaction(url, lambda connection: carry_out(steps, partial(run, connection)))


def in_transaction(url: URL, work: Callable[[Connection], T]) -> T:
    """Does the work in one transaction, committed at the end; what goes wrong ends the command."""

    async def connect_and_work() -> T:
        engine = create_async_engine(url)
        try:
            async with aclosing(await _connected(engine)) as connection, connection.begin():
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    with complaining():
        return asyncio.run(connect_and_work())


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except ModuleNotFoundError:
        raise  # the driver
    except Exception as error:
        raise unreachable(engine.url, error, "--dsn or PGQ_DSN") from error
