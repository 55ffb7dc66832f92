"""The commands about jobs: enqueue, cancel, list what failed, and run it again."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from pgq_orm import administration, enqueueing
from pgq_orm.cli.complaints import complaining
from pgq_orm.cli.databases import Dsn, ask
from pgq_orm.cli.sheets import AsJson, Column, Sheet, printable
from pgq_orm.errors import DuplicateJobError, PgqError, RequeueRefusedError
from pgq_orm.operations import DEFAULT_QUEUE
from pgq_orm.steps import Steps

T = TypeVar("T")


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
    delay: Annotated[float, typer.Option(help="Seconds before it may run.")] = 0,
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
        steps = enqueueing.enqueue(
            entrypoint,
            _payload(payload),
            priority,
            timedelta(seconds=delay),
            dedupe_key,
            on_conflict=on_conflict.value,
            queue=queue,
            arguments=_arguments(arguments),
        )
    [job_id] = ask(dsn, _unless_duplicate(steps, dedupe_key))
    typer.echo(f"job {job_id} is enqueued" if job_id else f"left out: {dedupe_key!r} is still to be done")


def cancel(dsn: Dsn, ids: JobIds) -> None:
    """Cancel jobs: what waits ends at once, what runs is asked to stop."""
    is_running = ask(dsn, administration.mark_job_as_cancelled(ids))
    for job_id in ids:
        if job_id not in is_running:
            typer.echo(f"job {job_id} is not to be done")
        else:
            typer.echo(
                f"job {job_id} {'runs, and is asked to stop' if is_running[job_id] else 'is canceled'}"
            )


SUMMARY_CHARACTERS = 120
FAILED = (
    Column("job", "id", is_number=True),
    Column("failed", "failed"),
    Column("entrypoint", "entrypoint"),
    Column("queue", "queue"),
    Column("attempts", "attempts", is_number=True),
    Column("error", "error"),
)


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
    """List the jobs that failed, the latest first."""
    jobs = [asdict(job) for job in ask(dsn, administration.list_failed_jobs(limit, after=after))]
    if as_json:
        Sheet("Failed jobs", (), jobs, "").show(as_json)
        return
    summaries = [job | {"error": _summary(job["error"])} for job in jobs]
    Sheet("Failed jobs", FAILED, summaries, "No job has failed.").show()
    for job in jobs if traceback else ():
        trace = printable(job["traceback"] or job["error"] or "", but="\n\t")
        typer.echo(f"\njob {job['id']} ({job['entrypoint']}):\n{trace}")
    if len(jobs) == limit:
        typer.echo(f"There may be more: --after {jobs[-1]['log_id']}")
    if jobs:
        typer.echo(f"Run one again with: pgq requeue {jobs[0]['id']}")


def requeue(
    dsn: Dsn,
    ids: JobIds,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Leave out what cannot be, instead of requeueing none.")
    ] = False,
) -> None:
    """Run jobs again that have ended, each as a new job."""
    requeued = ask(dsn, _requeued(ids, skip_refused))
    for old_id in dict.fromkeys(ids):
        answer = f"is enqueued again as job {requeued[old_id]}" if old_id in requeued else "is left out"
        typer.echo(f"job {old_id} {answer}")


# What goes wrong is told in the command's own options.


def _unless_duplicate(steps: Steps[T], dedupe_key: str | None) -> Steps[T]:
    try:
        return (yield from steps)
    except DuplicateJobError:
        raise PgqError(
            f"a job with the key {dedupe_key!r} is still to be done: --on-conflict skip leaves this one out, "
            "--on-conflict update replaces one that waits"
        ) from None


def _requeued(ids: list[int], skip_refused: bool) -> Steps[dict[int, int]]:
    try:
        return (yield from administration.requeue_jobs(ids, on_refused="skip" if skip_refused else "raise"))
    except RequeueRefusedError as error:
        reasons = "".join(f"\n  job {job_id} {reason}" for job_id, reason in error.refusals.items())
        raise PgqError(f"nothing is requeued; --skip-refused leaves out what cannot be:{reasons}") from None


def _summary(error: str | None) -> str:
    line = (error or "").partition("\n")[0]
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"


def _payload(given: str | None) -> bytes | None:
    if given == "-":
        return sys.stdin.buffer.read()
    return None if given is None else given.encode()


def _arguments(given: str | None) -> Mapping[str, Any] | None:
    if given is None:
        return None
    try:
        arguments = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"--arguments is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise typer.BadParameter(
            f"--arguments must be a JSON object, for example '{{\"order\": 7}}', not {given}"
        )
    return arguments
