"""Entrypoint: the executor that calls the handler, in the loop or in a thread."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pgq_orm.executors.abstract import AbstractEntrypointExecutor
from pgq_orm.executors.capabilities import Capabilities
from pgq_orm.executors.threads import call_in_thread
from pgq_orm.executors.transactional import (
    require_transactional,
    settle_in_loop,
    settle_in_thread,
    settlement_of,
)
from pgq_orm.handlers import Handler, is_async, read_signature, require_subject
from pgq_orm.models import Context, Job
from pgq_orm.transactions import TransactionalScopes


@dataclass(eq=False)
class EntrypointExecutor(AbstractEntrypointExecutor):
    """Calls the handler: an async one on the worker's event loop, a sync one in a thread.

    An async handler is interrupted where it awaits. A thread cannot be: it is asked to stop, by `cancel_called`, and
    its slot stays taken until it has ended.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        time_limit=True, cancellation=True, transactional=True
    )

    @classmethod
    def check(cls, handler: Handler, options: Mapping[str, object]) -> None:
        super().check(handler, options)
        require_subject(handler)

    def __post_init__(self) -> None:
        self._handler = self.parameters.func
        self._signature = read_signature(
            self._handler, self.parameters.scopes, self.parameters.accepts_context
        )
        self._is_async = is_async(self._handler)
        self._transactions = (
            require_transactional(self.parameters.scopes, self._signature, self.parameters.entrypoint)
            if self.parameters.transactional
            else None
        )

    @property
    def resources(self) -> Mapping[str, object]:
        """What the handler is given by the binding, such as sessions: the annotations by parameter name."""
        return self._signature.resources

    def execute(self, job: Job, context: Context) -> Coroutine[Any, Any, Any]:
        if self._transactions is not None:
            return self._call_in_transaction(self._transactions, job, context)
        return self._call(job, context) if self._is_async else self._call_in_thread(job, context)

    async def _arguments(self, job: Job, context: Context) -> tuple[tuple[Any, ...], dict[str, Any]]:
        positional, named = self._signature.arguments(context.schedule or job, context)
        if self._signature.parents_parameter is not None:
            named |= await self._signature.parents(context)
        return positional, named

    async def _call(self, job: Job, context: Context) -> Any:
        positional, named = await self._arguments(job, context)
        scope = self.parameters.scopes.in_loop(self._signature.resources)
        if scope is None:
            return await self._handler(*positional, **named)
        async with scope as resources:
            return await self._handler(*positional, **named, **resources)

    async def _call_in_thread(self, job: Job, context: Context) -> Any:
        positional, named = await self._arguments(job, context)
        call = call_in_thread(self.parameters.threads, partial(self._call_in_scope, positional, named))
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if (
                not call.has_returned
                or task is None
                or not context.cancellation.is_called
                or context.cancellation.is_heard
            ):
                raise
            # It never saw that it was asked to stop, and has done its work: the interruption came to nothing.
            task.uncancel()
            return call.result()
        finally:
            del call  # of which the error's traceback would make a cycle

    def _call_in_scope(self, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        scope = self.parameters.scopes.in_thread(self._signature.resources)
        if scope is None:
            return self._handler(*positional, **named)
        with scope as resources:
            return self._handler(*positional, **named, **resources)

    async def _call_in_transaction(
        self, transactions: TransactionalScopes, job: Job, context: Context
    ) -> Any:
        positional, named = await self._arguments(job, context)
        call, wanted = partial(self._handler, *positional, **named), self._signature.resources
        settlement = settlement_of(context)
        if self._is_async:
            return await settle_in_loop(transactions.transaction_in_loop(wanted), call, job, settlement)
        open_scope = partial(transactions.transaction_in_thread, wanted)
        return await settle_in_thread(self.parameters.threads, open_scope, call, job, settlement)
