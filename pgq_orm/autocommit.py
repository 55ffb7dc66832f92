"""Autocommit: the queue, asked by an application that has no transaction in hand."""

from typing import TypeVar

from pgq_orm.methods import Administration
from pgq_orm.steps import Steps
from pgq_orm.store import Store

T = TypeVar("T")


class AutocommitQueries(Administration):
    """What `Queries` has, each call in a transaction of its own, which has committed when the call returns.

    A call that raises has changed nothing. Work that belongs to a transaction of yours, in a handler for one, is for
    `Queries` on its session.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_store(self) -> Store:
        """The database that is asked, for whoever takes queries in place of an engine."""
        return self._store

    async def _carry_out(self, steps: Steps[T]) -> T:
        return await self._store.transact(steps)
