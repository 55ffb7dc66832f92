"""The command about schedules."""

from typing import Annotated, TypeAlias

import typer

from pgq_orm import administration
from pgq_orm.cli.databases import Dsn, ask
from pgq_orm.cli.tables import AsJson, show
from pgq_orm.job_words import describe_run
from pgq_orm.overview import what_recurs
from pgq_orm.reports import ScheduleState
from pgq_orm.steps import Steps

Names: TypeAlias = list[str] | None


def schedules(
    dsn: Dsn,
    pause: Annotated[
        Names, typer.Option(help="Let one rest, by its id or entrypoint.", metavar="NAME")
    ] = None,
    resume: Annotated[Names, typer.Option(help="Let one fire again.", metavar="NAME")] = None,
    run_now: Annotated[
        Names, typer.Option(help="Enqueue the job of one beside its ticks.", metavar="NAME")
    ] = None,
    remove: Annotated[
        Names,
        typer.Option(
            "--remove", "-r", help="Remove one; a worker that declares it adds it again.", metavar="NAME"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the schedules, after pausing, resuming, running or removing some."""
    run, known = ask(dsn, _told_and_read(pause or [], resume or [], run_now or [], remove or []))
    if run and not as_json:
        typer.echo(describe_run(run))
    show(what_recurs(known), as_json)


def _told_and_read(
    pause: list[str], resume: list[str], run_now: list[str], remove: list[str]
) -> Steps[tuple[dict[int, int | None], list[ScheduleState]]]:
    yield from administration.pause_schedule(_keys(pause))
    yield from administration.resume_schedule(_keys(resume))
    run = yield from administration.run_schedule_now(_keys(run_now))
    yield from administration.delete_schedule(_keys(remove))
    return run, (yield from administration.fetch_schedules())


def _keys(names: list[str]) -> list[int | str]:
    return [int(name) if name.isdecimal() else name for name in names]
