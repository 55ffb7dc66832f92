"""Queues: what one says of named queues, and functions that are enqueued by their paths, in the caller's transaction.

`pgq_orm.queues` says of each function what it answers and what it raises. Everything runs on this thread's connection
to the database `using`, which the routers choose if the caller does not.
"""

from collections.abc import Iterable
from typing import overload

from pgq_orm import functions, queues
from pgq_orm.errors import FunctionNotAllowedError
from pgq_orm.functions import FunctionJob
from pgq_orm.queues import UNCHANGED, Names, Queue, ResumeAt, Unchanged, Window
from pgq_orm.reports import QueueState
from pgq_orm_django import conf
from pgq_orm_django.databases import default_alias
from pgq_orm_django.registry import discover, registry
from pgq_orm_django.statements import carry_out, carry_out_whole
from pgq_orm_django.twins import awaited


def declare_queue(
    queue: Queue | Iterable[Queue], *, upsert: bool = False, using: str | None = None
) -> list[str]:
    """Makes sure that queues have a row; answers the names that were written.

    Workers do so for the queues that `tasks` modules declare. `upsert=True` replaces the limits of those that have one.
    """
    return carry_out(queues.declare_queue(queue, upsert=upsert), using or default_alias())


def update_queue(
    queue: Names,
    *,
    concurrency: int | None | Unchanged = UNCHANGED,
    rate_limit: int | None | Unchanged = UNCHANGED,
    rate_limit_window: Window | Unchanged = UNCHANGED,
    using: str | None = None,
) -> list[str]:
    """Changes the limits of queues that have a row; answers their names. Raises UnknownQueueError."""
    steps = queues.update_queue(
        queue, concurrency=concurrency, rate_limit=rate_limit, rate_limit_window=rate_limit_window
    )
    return carry_out_whole(steps, using or default_alias())


def pause_queue(queue: Names, *, resume_at: ResumeAt = None, using: str | None = None) -> list[str]:
    """Pauses queues until they are resumed, or until `resume_at`; answers their names."""
    return carry_out(queues.pause_queue(queue, resume_at=resume_at), using or default_alias())


def resume_queue(queue: Names, *, using: str | None = None) -> list[str]:
    """Ends the pause of queues; answers the names of those that were paused."""
    return carry_out(queues.resume_queue(queue), using or default_alias())


def fetch_queues(queue: Names | None = None, *, using: str | None = None) -> list[QueueState]:
    """The queues that have a row, as frozen values; `Queue.objects` has them as rows."""
    return carry_out(queues.fetch_queues(queue), using or default_alias())


def delete_queue(queue: Names, *, using: str | None = None) -> list[str]:
    """Forgets what was said of queues; answers their names. Their jobs stay."""
    return carry_out(queues.delete_queue(queue), using or default_alias())


@overload
def push(queue: str, job: FunctionJob, *, using: str | None = None) -> int | None: ...


@overload
def push(queue: str, job: Iterable[FunctionJob], *, using: str | None = None) -> list[int | None]: ...


def push(
    queue: str, job: FunctionJob | Iterable[FunctionJob], *, using: str | None = None
) -> int | None | list[int | None]:
    """Enqueues calls of functions by their paths; answers their jobs' ids, None where a `unique_key` is in use.

    Part of the caller's transaction. Raises FunctionNotAllowedError for a function of a module that no `tasks` module
    allows, unless `PGQ["STRICT_ENTRYPOINTS"]` is off.
    """
    jobs = [job] if isinstance(job, FunctionJob) else list(job)
    steps = functions.push(queue, jobs)
    if conf.current().strict_entrypoints:
        for each in jobs:
            _require(each)
    job_ids = carry_out_whole(steps, using or default_alias())
    return job_ids[0] if isinstance(job, FunctionJob) else job_ids


def _require(job: FunctionJob) -> None:
    try:
        registry.functions.require(job.func)
    except FunctionNotAllowedError:
        discover().functions.require(job.func)


adeclare_queue = awaited(declare_queue)
aupdate_queue = awaited(update_queue)
apause_queue = awaited(pause_queue)
aresume_queue = awaited(resume_queue)
afetch_queues = awaited(fetch_queues)
adelete_queue = awaited(delete_queue)
apush = awaited(push)
