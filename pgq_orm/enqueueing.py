"""Enqueueing: how jobs are added, as steps that join a transaction, and as the method of whoever carries steps out."""

from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Protocol, Required, TypedDict, Unpack, overload

from pgq_orm import operations
from pgq_orm.errors import InvalidJobError, JobNotFoundError
from pgq_orm.operations.additions import (
    DEFAULT_QUEUE,
    ENQUEUE_BATCH,
    Added,
    Enqueue,
    EnqueueOptions,
    Many,
    OnConflict,
)
from pgq_orm.steps import Steps, ask
from pgq_orm.storable import ExecuteAfter, JsonObject


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


class NewJob(TypedDict, total=False):
    """One job, for `enqueue_each`; what is left out is as in `enqueue`."""

    entrypoint: Required[str]
    payload: bytes | None
    priority: int
    execute_after: ExecuteAfter
    dedupe_key: str | None
    headers: JsonObject | None
    arguments: JsonObject | None
    queue: str
    max_attempts: int | None
    concurrency_key: str | None


UNSAID: Mapping[str, Any] = {"priority": 0, "queue": DEFAULT_QUEUE}
"""What holds for a job that says nothing; None for everything else."""


def enqueue_each(jobs: Iterable[NewJob], *, on_conflict: OnConflict = "raise") -> Steps[int]:
    """Adds each job as it comes, a thousand with one statement; answers how many were added.

    Holds no more than that thousand, so a generator can give a million of them. What is refused (InvalidJobError,
    DuplicateJobError) harms nobody's transaction, but the thousands before it stay in there: let it roll back if
    all or nothing is meant.
    """
    return _each(iter(jobs), on_conflict)


def enqueue_all(jobs: Sequence[NewJob], *, on_conflict: OnConflict) -> Steps[list[int | None]]:
    """Adds jobs that differ in what is said of them; answers their ids as `enqueue` does."""
    said = {"entrypoint"}.union(*jobs)
    columns: Any = {name: [job.get(name, UNSAID.get(name)) for job in jobs] for name in said}
    return enqueue(**columns, on_conflict=on_conflict)


def _each(jobs: Iterator[NewJob], on_conflict: OnConflict) -> Steps[int]:
    count = 0
    while batch := list(islice(jobs, ENQUEUE_BATCH)):
        for job in batch:
            _require_fields(job)
        job_ids = yield from enqueue_all(batch, on_conflict=on_conflict)
        count += sum(job_id is not None for job_id in job_ids)
    return count


def _require_fields(job: object) -> None:
    if not isinstance(job, Mapping):
        raise InvalidJobError(f"enqueue_each() takes a mapping for each job, such as NewJob, not {job!r}")
    if unknown := job.keys() - NewJob.__annotations__.keys():
        raise InvalidJobError(
            f"a job of enqueue_each() has no {', '.join(sorted(map(repr, unknown)))}: it can have "
            f"{', '.join(NewJob.__annotations__)}"
        )


def require_jobs(job_ids: Sequence[int]) -> Steps[None]:
    """Makes sure that there are jobs of these ids, to be done or in the log. Raises JobNotFoundError."""
    for start in range(0, len(job_ids), ENQUEUE_BATCH):
        batch = job_ids[start : start + ENQUEUE_BATCH]
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
