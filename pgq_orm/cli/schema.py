"""The commands that install, upgrade, remove and print the schema: for applications without Alembic."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine

from pgq_orm import schema
from pgq_orm.cli.complaints import complaining
from pgq_orm.errors import PgqError
from pgq_orm.schema import CURRENT_VERSION, EMPTY
from pgq_orm.sqlalchemy import installation
from pgq_orm.sqlalchemy.urls import async_url

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


def install(dsn: Dsn) -> None:
    """Install the tables, all or none; where they are installed already, nothing happens."""
    if _in_transaction(dsn, installation.install):
        typer.echo(f"version {CURRENT_VERSION} is now installed in {dsn.database}")
    else:
        typer.echo(f"version {CURRENT_VERSION} is installed in {dsn.database} already")


def upgrade(dsn: Dsn) -> None:
    """Bring the tables of an older release up to this one's version."""
    if _in_transaction(dsn, installation.upgrade):
        typer.echo(f"{dsn.database} is now at version {CURRENT_VERSION}")
    else:
        typer.echo(f"{dsn.database} is at version {CURRENT_VERSION} already")


def uninstall(
    dsn: Dsn,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Drop the tables, with every job and log row in them."""
    if not yes:
        typer.confirm(f"Drop pgq-orm's tables in {dsn.database}, with every job and log row?", abort=True)
    if _in_transaction(dsn, installation.uninstall):
        typer.echo(f"pgq-orm's tables are gone from {dsn.database}")
    else:
        typer.echo(f"{dsn.database} has no pgq-orm tables")


def sql(
    to: Annotated[int | None, typer.Option(help="The version to arrive at.")] = None,
    since: Annotated[int | None, typer.Option(help="The version to start from.")] = None,
    down: Annotated[bool, typer.Option("--down", help="Print the way back.")] = False,
) -> None:
    """Print the statements, in one transaction, ready for psql."""
    first, last = (CURRENT_VERSION, EMPTY) if down else (EMPTY, CURRENT_VERSION)
    step = schema.down if down else schema.up
    try:
        statements = step(last if to is None else to, first if since is None else since)
    except PgqError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(";\n\n".join(["BEGIN", *statements, "COMMIT"]) + ";")


def _in_transaction(url: URL, work: Callable[[Connection], T]) -> T:
    """Does the work in one transaction, committed at the end; what goes wrong ends the command."""

    async def connect_and_work() -> T:
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    with complaining():
        return asyncio.run(connect_and_work())
