"""Transactions: what a binding offers so that a handler's writes and the end of its job commit together."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from pgq_orm.operations import Operation

T = TypeVar("T")


class Transaction(Protocol):
    """The transaction of one call of a sync handler, in its thread."""

    @property
    def resources(self) -> Mapping[str, Any]:
        """The values for the handler's parameters."""
        ...

    def run(self, operation: Operation[T]) -> T:
        """Executes an operation in it, after everything that the handler has written."""
        ...

    def commit(self) -> None:
        """Commits, for good. Raises if the server did not say that it has."""
        ...


class AsyncTransaction(Protocol):
    """The transaction of one call of an async handler."""

    @property
    def resources(self) -> Mapping[str, Any]:
        """The values for the handler's parameters."""
        ...

    async def run(self, operation: Operation[T]) -> T:
        """Executes an operation in it, after everything that the handler has written."""
        ...

    async def commit(self) -> None:
        """Commits, for good. Raises if the server did not say that it has."""
        ...


@runtime_checkable
class TransactionalScopes(Protocol):
    """The scopes of a binding that can surround a handler by one transaction.

    What is not committed when the scope is left is rolled back, however it is left. Meanwhile the handler cannot
    commit by itself.
    """

    def check_transactional(self, wanted: Mapping[str, object]) -> None:
        """Refuses a handler whose writes we could not find by what it asks for (name to annotation).

        Raises RegistrationError.
        """
        ...

    def transaction_in_loop(
        self, wanted: Mapping[str, object]
    ) -> AbstractAsyncContextManager[AsyncTransaction]:
        """Surrounds one call of an async handler."""
        ...

    def transaction_in_thread(self, wanted: Mapping[str, object]) -> AbstractContextManager[Transaction]:
        """The same for a sync handler; entered and left in the thread that runs it."""
        ...
