"""The commands that show how the queue fares: dashboard and workers."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live

from pgq_orm import administration
from pgq_orm.cli.databases import Dsn, ask
from pgq_orm.cli.tables import AsJson, console, group, show
from pgq_orm.overview import overview, who_works
from pgq_orm.processes.signals import until_interrupted


def dashboard(
    dsn: Dsn,
    interval: Annotated[
        float | None,
        typer.Option("--interval", "-i", min=1, help="Look again every so many seconds, until Ctrl-C."),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="How many minutes of what was done.")] = 5,
) -> None:
    """Show what is to be done, what was done, and who works. Reads the whole backlog."""

    def look() -> Group:
        return group(*ask(dsn, overview(timedelta(minutes=last))))

    if interval is None:
        console().print(look())
        return
    with Live(look(), console=console(), auto_refresh=False) as live:
        for _ in until_interrupted(interval):
            live.update(look(), refresh=True)


def workers(dsn: Dsn, as_json: AsJson = False) -> None:
    """List the worker processes that live."""
    show(who_works(ask(dsn, administration.active_workers())), as_json)
