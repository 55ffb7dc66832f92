"""The commands that list, pause, resume and limit queues."""

from typing import Annotated

import typer

from pgq_orm import queue_words
from pgq_orm.cli.complaints import complaining
from pgq_orm.cli.databases import Dsn, ask, in_transaction
from pgq_orm.cli.tables import AsJson, show
from pgq_orm.overview import what_is_said
from pgq_orm.queue_words import (
    NO_LIMIT,
    SHORTEST_WINDOW,
    change_limits,
    list_names,
    parse_resume_at,
)
from pgq_orm.sqlalchemy import SyncQueries

app = typer.Typer(
    help="List queues, pause and resume them, change their limits, remove them.", no_args_is_help=True
)

Names = Annotated[list[str], typer.Argument(help="The queues.", show_default=False)]


@app.command("list")
def list_queues(dsn: Dsn, as_json: AsJson = False) -> None:
    """List the queues of which something is said."""
    states = in_transaction(dsn, lambda connection: SyncQueries(connection).fetch_queues())
    show(what_is_said(states), as_json)


@app.command()
def pause(
    names: Names,
    dsn: Dsn,
    until: Annotated[
        str | None,
        typer.Option(help="When the pause ends by itself: 30m, 2h, 1d, or 2026-01-31T08:00+01:00."),
    ] = None,
) -> None:
    """Let no more jobs of the queues be picked; what runs goes on."""
    with complaining():
        resume_at = None if until is None else parse_resume_at(until)
    typer.echo(ask(dsn, queue_words.pause(names, resume_at)))


@app.command()
def resume(names: Names, dsn: Dsn) -> None:
    """Let jobs of the queues be picked again."""
    resumed = in_transaction(dsn, lambda connection: SyncQueries(connection).resume_queue(names))
    typer.echo(f"resumed: {list_names(resumed)}")


@app.command()
def remove(names: Names, dsn: Dsn) -> None:
    """Forget what is said of queues, pauses too; refused while one holds jobs."""
    typer.echo(ask(dsn, queue_words.remove(names)))


@app.command()
def limit(
    names: Names,
    dsn: Dsn,
    concurrency: Annotated[
        int | None,
        typer.Option(min=NO_LIMIT, help="Jobs at a time in each worker process; 0 takes the limit away."),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(min=NO_LIMIT, help="Jobs that may start within the window; 0 takes the limit away."),
    ] = None,
    window: Annotated[float | None, typer.Option(min=SHORTEST_WINDOW, help="The window, in seconds.")] = None,
) -> None:
    """Change the limits of queues, those that are given; a queue of which nothing is said is declared first."""
    typer.echo(ask(dsn, change_limits(names, concurrency=concurrency, rate=rate, window=window)))
