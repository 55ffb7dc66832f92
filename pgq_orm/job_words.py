"""Job words: how a command reads the jobs that it is given, and tells what became of them."""

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from pgq_orm import administration, enqueueing
from pgq_orm.administration import OnRefused
from pgq_orm.errors import DuplicateJobError, FlagError, PgqError, RequeueRefusedError
from pgq_orm.operations.additions import OnConflict
from pgq_orm.steps import Steps


def enqueue(
    entrypoint: str,
    payload: str | None,
    *,
    arguments: str | None,
    queue: str,
    priority: int,
    delay: timedelta | None,
    dedupe_key: str | None,
    on_conflict: OnConflict,
) -> Steps[str]:
    """Enqueues a job, and says so. `-` for a payload reads it from standard input, `arguments` are JSON.

    Raises FlagError for arguments that are none, before anything is carried out.
    """
    steps = enqueueing.enqueue(
        entrypoint,
        sys.stdin.buffer.read() if payload == "-" else None if payload is None else payload.encode(),
        priority,
        delay or timedelta(0),
        dedupe_key,
        on_conflict=on_conflict,
        queue=queue,
        arguments=None if arguments is None else _read_arguments(arguments),
    )
    return _enqueued(steps, dedupe_key)


def hint_at(entrypoint: str) -> Steps[str | None]:
    """What to say of an entrypoint that none of the workers has, if any lives: perhaps a slip of the pen."""
    workers = yield from administration.active_workers()
    served = {name for worker in workers for name in worker.entrypoints}
    if not served or entrypoint in served:
        return None
    close = get_close_matches(entrypoint, served, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"no living worker has an entrypoint {entrypoint!r}{guess}"


def _enqueued(steps: Steps[list[int | None]], dedupe_key: str | None) -> Steps[str]:
    try:
        [job_id] = yield from steps
    except DuplicateJobError:
        raise PgqError(
            f"a job with the key {dedupe_key!r} is still to be done: --on-conflict skip leaves this one out, "
            "--on-conflict update replaces one that waits"
        ) from None
    return f"job {job_id} is enqueued" if job_id else f"left out: {dedupe_key!r} is still to be done"


def _read_arguments(given: str) -> Mapping[str, Any]:
    try:
        arguments = json.loads(given)
    except ValueError as error:
        raise FlagError(f"--arguments is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise FlagError(f"--arguments must be a JSON object, for example '{{\"order\": 7}}', not {given}")
    return arguments


def cancel(ids: Iterable[int]) -> Steps[str]:
    """Cancels jobs, and says what came of it, one job in a line."""
    wanted = list(dict.fromkeys(ids))
    is_running = yield from administration.mark_job_as_cancelled(wanted)
    others = yield from administration.job_status(job_id for job_id in wanted if job_id not in is_running)
    words = {job_id: f"has ended already, as {status}" for job_id, status in others}
    for job_id, runs in is_running.items():
        words[job_id] = "runs, and is asked to stop" if runs else "is canceled"
    return "\n".join(f"job {job_id} {words.get(job_id, 'is not to be found')}" for job_id in wanted)


def describe_requeued(ids: Iterable[int], requeued: Mapping[int, int]) -> str:
    """What `requeue_jobs` came to, one job in a line."""
    return "\n".join(
        f"job {job_id} "
        + (f"is enqueued again as job {requeued[job_id]}" if job_id in requeued else "is left out")
        for job_id in dict.fromkeys(ids)
    )


def describe_run(job_ids: Mapping[int, int | None]) -> str:
    """What `run_schedule_now` came to, one schedule in a line."""
    return "\n".join(
        f"schedule {schedule_id}: "
        + (
            "left out, the job of a tick before is still to be done"
            if job_id is None
            else f"job {job_id} is enqueued"
        )
        for schedule_id, job_id in job_ids.items()
    )


def requeue(ids: list[int], *, skip_refused: bool, force: bool) -> Steps[dict[int, int]]:
    """`requeue_jobs`, whose refusals are told in the command's own options."""
    try:
        on_refused: OnRefused = "skip" if skip_refused else "raise"
        return (yield from administration.requeue_jobs(ids, on_refused=on_refused, force=force))
    except RequeueRefusedError as error:
        reasons = "".join(f"\n  job {job_id} {reason}" for job_id, reason in error.refusals.items())
        raise PgqError(
            "nothing is requeued; --skip-refused leaves out what cannot be, --force runs again, too, what has been run "
            f"again and has ended:{reasons}"
        ) from None
