"""The application behind the command `pgq`: which commands there are."""

import typer

from pgq_orm.cli import dashboard, jobs, queues, run, schedules, schema

app = typer.Typer(
    name="pgq",
    help="A PostgreSQL job queue that is native to SQLAlchemy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command(context_settings={"auto_envvar_prefix": "PGQ"})(run.run)
app.command()(schema.install)
app.command()(schema.upgrade)
app.command()(schema.uninstall)
app.command()(schema.sql)

app.command(rich_help_panel="Jobs")(jobs.queue)
app.command(rich_help_panel="Jobs")(jobs.cancel)
app.command(rich_help_panel="Jobs")(jobs.failed)
app.command(rich_help_panel="Jobs")(jobs.requeue)

app.command(rich_help_panel="What there is")(dashboard.dashboard)
app.command(rich_help_panel="What there is")(dashboard.workers)
app.command(rich_help_panel="What there is")(schedules.schedules)
app.add_typer(queues.app, name="queues", rich_help_panel="What there is")
