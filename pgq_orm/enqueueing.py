"""Enqueueing: how jobs are added, as steps that join a transaction, and as the method of whoever carries steps out."""

from collections.abc import Coroutine, Sequence
from typing import Any, Literal, Protocol, Unpack, overload

from pgq_orm import operations
from pgq_orm.errors import JobNotFoundError
from pgq_orm.operations import Added, Enqueue, EnqueueOptions, ExecuteAfter, JsonObject, Many, OnConflict
from pgq_orm.steps import Steps, ask


def enqueue(
    entrypoint: Many[str],
    payload: Many[bytes | None] = None,
    priority: Many[int] = 0,
    execute_after: Many[ExecuteAfter] = None,
    dedupe_key: Many[str | None] = None,
    headers: Many[JsonObject | None] = None,
    *,
    on_conflict: OnConflict = "raise",
    **options: Unpack[EnqueueOptions],
) -> Steps[list[int | None]]:
    """Adds one job, or many; answers their ids. See `pgq_orm.operations.enqueue` for the parameters.

    The answer holds None only where `on_conflict="skip"` has left a job out.
    """
    # Here and not among the steps: what cannot be stored is refused before anything is carried out.
    return _carried_out(
        operations.enqueue(
            entrypoint,
            payload,
            priority,
            execute_after,
            dedupe_key,
            headers,
            on_conflict=on_conflict,
            **options,
        )
    )


def require_jobs(job_ids: Sequence[int]) -> Steps[None]:
    """Makes sure that there are jobs of these ids, to be done or in the log. Raises JobNotFoundError."""
    for start in range(0, len(job_ids), operations.ENQUEUE_BATCH):
        batch = job_ids[start : start + operations.ENQUEUE_BATCH]
        found = yield from ask(operations.find_jobs(batch))
        if missing := [job_id for job_id in batch if job_id not in found]:
            raise JobNotFoundError(missing[0])


def _carried_out(wish: Enqueue) -> Steps[list[int | None]]:
    yield from require_jobs(wish.parent_ids)
    added: list[Added] = []
    for insert in wish.inserts:
        added += yield from ask(insert)
    if withdrawal := wish.withdrawal(added):
        yield from ask(withdrawal)
    job_ids = wish.answer(added)
    if wish.parent_ids and (children := [job_id for job_id in job_ids if job_id is not None]):
        yield from ask(operations.depend(children, wish.parent_ids, wish.on_failure))
    return job_ids


class CalledEnqueue(Protocol):
    """`enqueue`, carried out at once."""

    @overload
    def __call__(
        self,
        entrypoint: Many[str],
        payload: Many[bytes | None] = None,
        priority: Many[int] = 0,
        execute_after: Many[ExecuteAfter] = None,
        dedupe_key: Many[str | None] = None,
        headers: Many[JsonObject | None] = None,
        *,
        on_conflict: Literal["raise", "update"] = "raise",
        **options: Unpack[EnqueueOptions],
    ) -> list[int]: ...

    @overload
    def __call__(
        self,
        entrypoint: Many[str],
        payload: Many[bytes | None] = None,
        priority: Many[int] = 0,
        execute_after: Many[ExecuteAfter] = None,
        dedupe_key: Many[str | None] = None,
        headers: Many[JsonObject | None] = None,
        *,
        on_conflict: OnConflict,
        **options: Unpack[EnqueueOptions],
    ) -> list[int | None]: ...


class AwaitedEnqueue(Protocol):
    """`enqueue`, carried out when awaited."""

    @overload
    def __call__(
        self,
        entrypoint: Many[str],
        payload: Many[bytes | None] = None,
        priority: Many[int] = 0,
        execute_after: Many[ExecuteAfter] = None,
        dedupe_key: Many[str | None] = None,
        headers: Many[JsonObject | None] = None,
        *,
        on_conflict: Literal["raise", "update"] = "raise",
        **options: Unpack[EnqueueOptions],
    ) -> Coroutine[Any, Any, list[int]]: ...

    @overload
    def __call__(
        self,
        entrypoint: Many[str],
        payload: Many[bytes | None] = None,
        priority: Many[int] = 0,
        execute_after: Many[ExecuteAfter] = None,
        dedupe_key: Many[str | None] = None,
        headers: Many[JsonObject | None] = None,
        *,
        on_conflict: OnConflict,
        **options: Unpack[EnqueueOptions],
    ) -> Coroutine[Any, Any, list[int | None]]: ...
