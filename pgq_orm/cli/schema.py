"""The commands that install, upgrade, remove and print the schema: for applications without Alembic."""

from typing import Annotated

import typer

from pgq_orm import schema
from pgq_orm.cli.databases import Dsn, in_transaction
from pgq_orm.errors import PgqError
from pgq_orm.schema import CURRENT_VERSION, EMPTY
from pgq_orm.sqlalchemy import installation


def install(dsn: Dsn) -> None:
    """Install the tables, all or none; where they are installed already, nothing happens."""
    if in_transaction(dsn, installation.install):
        typer.echo(f"version {CURRENT_VERSION} is now installed in {dsn.database}")
    else:
        typer.echo(f"version {CURRENT_VERSION} is installed in {dsn.database} already")


def upgrade(dsn: Dsn) -> None:
    """Bring the tables of an older release up to this one's version."""
    if in_transaction(dsn, installation.upgrade):
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
    if in_transaction(dsn, installation.uninstall):
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
