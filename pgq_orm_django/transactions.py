"""Transactions: the `atomic` block in which a handler's writes and the end of its job commit together."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, transaction

from pgq_orm.errors import RegistrationError
from pgq_orm.operations import Operation
from pgq_orm_django.statements import run

T = TypeVar("T")


def check_transactional(using: str) -> None:
    """Refuses a database in which `atomic` does not commit. Raises RegistrationError."""
    if not connections[using].settings_dict["AUTOCOMMIT"]:
        raise RegistrationError(
            f"DATABASES[{using!r}]['AUTOCOMMIT'] is False, so that transaction.atomic() never commits: remove the "
            "setting, which Django makes True by default"
        )


class AtomicTransaction:
    """An outermost `atomic` block on this thread's connection to a database, entered when it is made."""

    resources: Mapping[str, Any] = {}

    def __init__(self, using: str) -> None:
        self._using = using
        self._is_ended = False
        self._block = ExitStack()
        self._block.enter_context(transaction.atomic(using, durable=True))

    def run(self, operation: Operation[T]) -> T:
        return run(operation, self._using)

    def commit(self) -> None:
        self._is_ended = True
        self._block.close()

    def leave(self) -> None:
        """Rolls back, unless it is committed."""
        # Remembered, not asked of the connection: around the block there may be a TestCase's.
        if not self._is_ended:
            transaction.set_rollback(True, self._using)
        self._block.close()


class AsyncAtomicTransaction:
    """The same in the thread of an async job, in which all that it asks of the ORM is done."""

    resources: Mapping[str, Any] = {}

    def __init__(self, using: str) -> None:
        self._using = using
        self._transaction: AtomicTransaction | None = None  # the job's thread only

    @sync_to_async
    def begin(self) -> None:
        self._transaction = AtomicTransaction(self._using)

    @sync_to_async
    def run(self, operation: Operation[T]) -> T:
        assert self._transaction is not None
        return self._transaction.run(operation)

    @sync_to_async
    def commit(self) -> None:
        assert self._transaction is not None
        self._transaction.commit()

    @sync_to_async
    def leave(self) -> None:
        """Rolls back, unless it is committed."""
        if self._transaction is not None:
            self._transaction.leave()
