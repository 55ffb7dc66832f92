"""Queries: enqueues jobs in the caller's own transaction.

Everything runs on this thread's connection to the database, so a job that is enqueued inside `transaction.atomic()`
exists exactly when that block commits.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, TypedDict, Unpack, overload

from pgq_orm import enqueueing
from pgq_orm.enqueueing import NewJob
from pgq_orm.operations.additions import EnqueueOptions, Many, OnConflict, is_list
from pgq_orm.statuses import OnFailure
from pgq_orm.storable import ExecuteAfter, JsonObject
from pgq_orm_django import conf
from pgq_orm_django.databases import default_alias
from pgq_orm_django.registry import require
from pgq_orm_django.statements import carry_out, carry_out_whole
from pgq_orm_django.twins import awaited


class OneJobsOptions(TypedDict, total=False):
    """`EnqueueOptions` without lists."""

    arguments: JsonObject | None
    queue: str
    max_attempts: int | None
    concurrency_key: str | None
    depends_on: int | Iterable[int]
    on_failure: OnFailure


# Where the first two fit, they are meant; the third is for lists.


@overload
def enqueue(  # type: ignore[overload-overlap]
    entrypoint: str,
    payload: bytes | None = None,
    priority: int = 0,
    execute_after: ExecuteAfter = None,
    dedupe_key: str | None = None,
    headers: JsonObject | None = None,
    *,
    on_conflict: Literal["raise", "update"] = "raise",
    using: str | None = None,
    **options: Unpack[OneJobsOptions],
) -> int: ...


@overload
def enqueue(  # type: ignore[overload-overlap]
    entrypoint: str,
    payload: bytes | None = None,
    priority: int = 0,
    execute_after: ExecuteAfter = None,
    dedupe_key: str | None = None,
    headers: JsonObject | None = None,
    *,
    on_conflict: OnConflict,
    using: str | None = None,
    **options: Unpack[OneJobsOptions],
) -> int | None: ...


@overload
def enqueue(
    entrypoint: Many[str],
    payload: Many[bytes | None] = None,
    priority: Many[int] = 0,
    execute_after: Many[ExecuteAfter] = None,
    dedupe_key: Many[str | None] = None,
    headers: Many[JsonObject | None] = None,
    *,
    on_conflict: OnConflict = "raise",
    using: str | None = None,
    **options: Unpack[EnqueueOptions],
) -> list[int | None]: ...


def enqueue(
    entrypoint: Many[str],
    payload: Many[bytes | None] = None,
    priority: Many[int] = 0,
    execute_after: Many[ExecuteAfter] = None,
    dedupe_key: Many[str | None] = None,
    headers: Many[JsonObject | None] = None,
    *,
    on_conflict: OnConflict = "raise",
    using: str | None = None,
    **options: Unpack[EnqueueOptions],
) -> int | None | list[int | None]:
    """Adds one job and answers its id; or many, given lists, and answers theirs. See `pgq_orm.operations.enqueue`.

    The job is part of the transaction that is open on the database `using`, which the routers choose if the caller
    does not; without one it exists at once. With `on_conflict="skip"` a duplicate's id is None.

    Raises UnknownEntrypointError for a name that no `tasks` module registers, unless `PGQ["STRICT_ENTRYPOINTS"]` is
    off; InvalidJobError for what cannot be stored; DuplicateJobError. None of them harms the transaction.
    """
    steps = enqueueing.enqueue(
        entrypoint, payload, priority, execute_after, dedupe_key, headers, on_conflict=on_conflict, **options
    )
    if conf.current().strict_entrypoints:
        for name in {entrypoint} if isinstance(entrypoint, str) else set(entrypoint):
            require(name)
    # depends_on lists the parents that all jobs of the call have
    others = [value for name, value in options.items() if name != "depends_on"]
    is_one = not any(
        map(is_list, (entrypoint, payload, priority, execute_after, dedupe_key, headers, *others))
    )
    # One job is one statement, and needs no transaction around it; edges to its parents are another.
    is_one_statement = is_one and "depends_on" not in options
    job_ids = (carry_out if is_one_statement else carry_out_whole)(steps, using or default_alias())
    return job_ids[0] if is_one else job_ids


aenqueue = awaited(enqueue)


def enqueue_each(
    jobs: Iterable[NewJob], *, on_conflict: OnConflict = "raise", using: str | None = None
) -> int:
    """Adds each job as it comes, in one transaction; answers how many. See `pgq_orm.enqueueing.enqueue_each`.

    Holds no more than a thousand, so a generator can give a million of them. Raises what `enqueue` raises; all that
    were added before are taken back then.
    """
    steps = enqueueing.enqueue_each(_known(jobs), on_conflict=on_conflict)
    return carry_out_whole(steps, using or default_alias())


aenqueue_each = awaited(enqueue_each)


def _known(jobs: Iterable[NewJob]) -> Iterator[NewJob]:
    for job in jobs:
        if conf.current().strict_entrypoints and "entrypoint" in job:
            require(job["entrypoint"])
        yield job
