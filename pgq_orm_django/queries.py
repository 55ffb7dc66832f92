"""Queries: enqueue and cancel jobs in the caller's own transaction.

Everything runs on this thread's connection to the database, so a job that is enqueued inside `transaction.atomic()`
exists exactly when that block commits.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from asgiref.sync import sync_to_async

from pgq_orm import enqueueing, operations
from pgq_orm.operations import EnqueueOptions, ExecuteAfter, JsonObject, Many, OnConflict
from pgq_orm_django import conf
from pgq_orm_django.databases import default_alias
from pgq_orm_django.registry import require
from pgq_orm_django.statements import carry_out, carry_out_whole, run

P = ParamSpec("P")
T = TypeVar("T")


class OneJobsOptions(TypedDict, total=False):
    """`EnqueueOptions` without lists."""

    arguments: JsonObject | None
    queue: str
    max_attempts: int | None


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
    is_one = not any(
        isinstance(value, list | tuple)
        for value in (entrypoint, payload, priority, execute_after, dedupe_key, headers, *options.values())
    )
    # One job is one statement, and needs no transaction around it.
    job_ids = (carry_out if is_one else carry_out_whole)(steps, using or default_alias())
    return job_ids[0] if is_one else job_ids


def cancel(job_ids: int | Iterable[int], *, using: str | None = None) -> dict[int, bool]:
    """Cancels jobs: one that waits ends at once, a running one is asked to stop.

    Answers, for each job that was still to be done, whether it is running. Part of the caller's transaction.
    """
    wanted = [job_ids] if isinstance(job_ids, int) else list(job_ids)
    return run(operations.cancel(wanted), using or default_alias())


def _in_async(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same to be awaited, in the thread, and so on the connection, that the ORM's own async methods use."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)

    call.__name__ = call.__qualname__ = f"a{function.__name__}"
    return call


aenqueue = _in_async(enqueue)
acancel = _in_async(cancel)
