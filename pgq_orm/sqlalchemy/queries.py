"""Queries: what an application asks of the queue, inside its own session's transaction."""

from functools import partial
from typing import Literal, TypeVar, Unpack, overload

from pgq_orm import operations
from pgq_orm.methods import Administration
from pgq_orm.operations import EnqueueOptions, ExecuteAfter, JsonObject, Many, OnConflict
from pgq_orm.sqlalchemy.session import AsyncTarget, SyncTarget, require_async, require_sync, run, run_async
from pgq_orm.steps import Steps, carry_out, carry_out_async

T = TypeVar("T")


class Queries(Administration):
    """The queue, in the transaction of an `AsyncSession` or an `AsyncConnection`.

    Nothing is committed here: a job exists exactly when the caller's transaction commits.
    Raises SessionError for anything that cannot await or carries no transaction.
    """

    def __init__(self, session: AsyncTarget) -> None:
        self._target = require_async(session)

    @overload
    async def enqueue(
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
    async def enqueue(
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

    async def enqueue(
        self,
        entrypoint: Many[str],
        payload: Many[bytes | None] = None,
        priority: Many[int] = 0,
        execute_after: Many[ExecuteAfter] = None,
        dedupe_key: Many[str | None] = None,
        headers: Many[JsonObject | None] = None,
        *,
        on_conflict: OnConflict = "raise",
        **options: Unpack[EnqueueOptions],
    ) -> list[int] | list[int | None]:
        """Adds one job, or many; answers their ids. See `pgq_orm.operations.enqueue` for the parameters."""
        wish = operations.enqueue(
            entrypoint,
            payload,
            priority,
            execute_after,
            dedupe_key,
            headers,
            on_conflict=on_conflict,
            **options,
        )
        added = [row for insert in wish.inserts for row in await run_async(self._target, insert)]
        if withdrawal := wish.withdrawal(added):
            await run_async(self._target, withdrawal)
        return wish.answer(added)

    async def _carry_out(self, steps: Steps[T]) -> T:
        return await carry_out_async(steps, partial(run_async, self._target))


class SyncQueries(Administration):
    """The queue, in the transaction of a `Session` or a `Connection`; otherwise like `Queries`."""

    def __init__(self, session: SyncTarget) -> None:
        self._target = require_sync(session)

    @overload
    def enqueue(
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
    def enqueue(
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

    def enqueue(
        self,
        entrypoint: Many[str],
        payload: Many[bytes | None] = None,
        priority: Many[int] = 0,
        execute_after: Many[ExecuteAfter] = None,
        dedupe_key: Many[str | None] = None,
        headers: Many[JsonObject | None] = None,
        *,
        on_conflict: OnConflict = "raise",
        **options: Unpack[EnqueueOptions],
    ) -> list[int] | list[int | None]:
        """Adds one job, or many; answers their ids. See `pgq_orm.operations.enqueue` for the parameters."""
        wish = operations.enqueue(
            entrypoint,
            payload,
            priority,
            execute_after,
            dedupe_key,
            headers,
            on_conflict=on_conflict,
            **options,
        )
        added = [row for insert in wish.inserts for row in run(self._target, insert)]
        if withdrawal := wish.withdrawal(added):
            run(self._target, withdrawal)
        return wish.answer(added)

    def _carry_out(self, steps: Steps[T]) -> T:
        return carry_out(steps, partial(run, self._target))
