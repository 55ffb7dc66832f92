"""Transactional: calls a handler, and ends its job in the transaction in which the handler wrote."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent import futures
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pgq_orm.canary import is_loop_ending
from pgq_orm.errors import LeaseLost, RegistrationError
from pgq_orm.executors.threads import call_in_thread
from pgq_orm.handlers import Signature
from pgq_orm.journal import tell
from pgq_orm.models import Context, Job
from pgq_orm.operations import Operation
from pgq_orm.store import Scopes
from pgq_orm.transactions import AsyncTransaction, Transaction, TransactionalScopes

logger = logging.getLogger(__name__)


class Settlement(Protocol):
    """How the worker has an attempt ended in its handler's transaction, and hears of it."""

    @property
    def is_settled(self) -> bool:
        """Whether the attempt has ended in the database, so that nothing is left to be written about it."""
        ...

    def begin(self, value: object) -> Operation[set[int]] | None:
        """What ends the job, now that the handler has returned the value; None if the attempt is no success.

        From here on the attempt is not interrupted. Called in the thread that runs the handler.
        """
        ...

    def settle(self) -> None:
        """Notes that the attempt has ended in the database, or that it is another worker's by now."""
        ...

    async def resolve(self) -> None:
        """Finds out what became of a transaction that was to end the attempt, and of which no success was heard."""
        ...


@dataclass(frozen=True, slots=True)
class TransactionalContext(Context):
    """The context of an attempt that is to end in its handler's transaction."""

    settlement: Settlement = field(kw_only=True)


def require_transactional(scopes: Scopes, signature: Signature, handler: str) -> TransactionalScopes:
    """The scopes, which can surround the handler by a transaction. Raises RegistrationError if they cannot."""
    if not isinstance(scopes, TransactionalScopes):
        raise RegistrationError(
            f"{handler} is registered with transactional=True, and {type(scopes).__name__} has no transactions to offer"
        )
    try:
        scopes.check_transactional(signature.resources)
    except RegistrationError as error:
        raise RegistrationError(f"{handler} is registered with transactional=True, and {error}") from None
    return scopes


def settlement_of(context: Context) -> Settlement:
    """How the attempt is to end. Raises TypeError for a context that no worker has made."""
    if not isinstance(context, TransactionalContext):
        raise TypeError(
            "a transactional handler ends its job itself, for which it needs the context that the worker made: pass "
            "on to execute() the one that was given, or a dataclasses.replace() of it"
        )
    return context.settlement


async def settle_in_loop(
    scope: AbstractAsyncContextManager[AsyncTransaction],
    call: Callable[..., Awaitable[object]],
    job: Job,
    settlement: Settlement,
) -> object:
    """Awaits the handler in the scope, and ends its job there if it succeeds."""
    value: object = None
    try:
        async with scope as transaction:
            value = await call(**transaction.resources)
            finish = settlement.begin(value)
            if finish is not None:
                # In a task of its own: a COMMIT that is interrupted leaves behind a connection of which nobody
                # knows what it has done.
                await _see_through(asyncio.ensure_future(_finish(transaction, finish, job, settlement)))
    except BaseException as error:
        await _raise_unless_settled(error, job, settlement)
    return value


async def settle_in_thread(
    threads: futures.Executor,
    open_scope: Callable[[], AbstractContextManager[Transaction]],
    call: Callable[..., object],
    job: Job,
    settlement: Settlement,
) -> object:
    """Calls the handler in a thread, in the scope, and ends its job there if it succeeds."""
    value: object = None

    def work() -> None:
        nonlocal value
        with open_scope() as transaction:
            value = call(**transaction.resources)
            finish = settlement.begin(value)
            if finish is not None:
                _require_lease(transaction.run(finish), job)
                transaction.commit()
                settlement.settle()

    try:
        await call_in_thread(threads, work)
    except BaseException as error:
        await _raise_unless_settled(error, job, settlement)
    return value


async def _finish(
    transaction: AsyncTransaction, finish: Operation[set[int]], job: Job, settlement: Settlement
) -> None:
    _require_lease(await transaction.run(finish), job)
    await transaction.commit()
    settlement.settle()


def _require_lease(ended: set[int], job: Job) -> None:
    if job.id not in ended:
        raise LeaseLost(
            f"job {job.id} is no longer this worker's, so what its handler wrote is rolled back; the worker that has "
            "it runs it again"
        )


async def _raise_unless_settled(error: BaseException, job: Job, settlement: Settlement) -> None:
    """Raises the error, unless the job has ended as it should all the same."""
    if isinstance(error, LeaseLost):
        settlement.settle()
        raise error
    heard = settlement.is_settled
    if not heard:
        await _see_through(asyncio.ensure_future(settlement.resolve()))
    if not settlement.is_settled or not isinstance(error, Exception):
        raise error
    if heard:
        tell(
            logger,
            logging.ERROR,
            "Job %d (%s) is done and committed, but what came after its commit failed",
            job.id,
            job.entrypoint,
            exc_info=error,
            job_id=job.id,
            entrypoint=job.entrypoint,
        )
    else:
        tell(
            logger,
            logging.WARNING,
            "Job %d (%s) has ended, though no answer to its COMMIT arrived: %r",
            job.id,
            job.entrypoint,
            error,
            job_id=job.id,
            entrypoint=job.entrypoint,
        )


async def _see_through(running: "asyncio.Future[None]") -> None:
    """Waits until it has ended, also when this is cancelled, which is told only then."""
    was_cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            if was_cancelled is not None and is_loop_ending():
                raise
            was_cancelled = error
        except BaseException:
            break
    if was_cancelled is not None:
        running.exception()  # retrieved, so that asyncio does not report it as forgotten
        raise was_cancelled
    running.result()
