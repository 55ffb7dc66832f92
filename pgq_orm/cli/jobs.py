"""The commands about jobs: enqueue, cancel, list what failed, and run it again."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from pgq_orm import administration, job_words
from pgq_orm.cli.complaints import complaining
from pgq_orm.cli.databases import Dsn, ask
from pgq_orm.cli.durations import duration
from pgq_orm.cli.tables import AsJson, show
from pgq_orm.errors import FlagError
from pgq_orm.job_words import describe_requeued
from pgq_orm.operations.additions import DEFAULT_QUEUE
from pgq_orm.overview import tracebacks, what_failed
from pgq_orm.steps import Steps


class Conflict(StrEnum):
    """What to do if the dedupe key is taken."""

    RAISE = "raise"
    SKIP = "skip"
    UPDATE = "update"


JobIds = Annotated[list[int], typer.Argument(help="The jobs' ids.", show_default=False, metavar="ID...")]


def queue(
    dsn: Dsn,
    entrypoint: Annotated[str, typer.Argument(help="The entrypoint that is to run.", show_default=False)],
    payload: Annotated[
        str | None, typer.Argument(help="The payload, as text; - reads it from standard input.")
    ] = None,
    arguments: Annotated[
        str | None, typer.Option(help="JSON arguments instead of a payload.", metavar="JSON")
    ] = None,
    queue: Annotated[str, typer.Option(help="The queue.")] = DEFAULT_QUEUE,
    priority: Annotated[int, typer.Option(help="A higher one is picked first.")] = 0,
    delay: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="How long before it may run: 90, 90s, 15m, 8h."
        ),
    ] = None,
    dedupe_key: Annotated[
        str | None, typer.Option(help="At most one job with this key is to be done.")
    ] = None,
    on_conflict: Annotated[
        Conflict,
        typer.Option(help="Whether such a job is an error, or this one is left out, or takes its place."),
    ] = Conflict.RAISE,
) -> None:
    """Enqueue a job."""
    with complaining():
        try:
            steps = job_words.enqueue(
                entrypoint,
                payload,
                arguments=arguments,
                queue=queue,
                priority=priority,
                delay=delay,
                dedupe_key=dedupe_key,
                on_conflict=on_conflict.value,
            )
        except FlagError as error:
            raise typer.BadParameter(str(error)) from error
    said, hint = ask(dsn, _with_hint(steps, entrypoint))
    typer.echo(said)
    if hint:
        typer.echo(f"pgq: {hint}", err=True)


def _with_hint(steps: Steps[str], entrypoint: str) -> Steps[tuple[str, str | None]]:
    said = yield from steps
    return said, (yield from job_words.hint_at(entrypoint))


def cancel(dsn: Dsn, ids: JobIds) -> None:
    """Cancel jobs: what waits ends at once, what runs is asked to stop."""
    typer.echo(ask(dsn, job_words.cancel(ids)))


def failed(
    dsn: Dsn,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=1, max=administration.LONGEST_PAGE, help="How many at the most."),
    ] = 25,
    after: Annotated[
        int | None, typer.Option(help="Go on below this log_id, the last one's of the page before.")
    ] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Print the tracebacks, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs that failed and were not run again, the latest first."""
    jobs = ask(dsn, administration.list_failed_jobs(limit, after=after))
    show(what_failed(jobs), as_json)
    if as_json or not jobs:
        return
    if traceback:
        typer.echo(f"\n{tracebacks(jobs)}")
    if len(jobs) == limit:
        typer.echo(f"There may be more: --after {jobs[-1].log_id}")
    typer.echo(f"Run one again with: pgq requeue {jobs[0].id}")


def requeue(
    dsn: Dsn,
    ids: JobIds,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Leave out what cannot be, instead of requeueing none.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run those again, too, that have been run again and have ended.")
    ] = False,
) -> None:
    """Run jobs again that have ended, each as a new job."""
    steps = job_words.requeue(ids, skip_refused=skip_refused, force=force)
    typer.echo(describe_requeued(ids, ask(dsn, steps)))
