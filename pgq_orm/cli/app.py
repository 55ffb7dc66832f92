"""The application behind the command `pgq`: which commands there are."""

import typer

from pgq_orm.cli import run, schema

app = typer.Typer(
    name="pgq",
    help="A PostgreSQL job queue that is native to SQLAlchemy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(run.run)
app.command()(schema.install)
app.command()(schema.upgrade)
app.command()(schema.uninstall)
app.command()(schema.sql)
