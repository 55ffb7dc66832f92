"""Store: all that a worker may ask of a database. Each binding has one that works through its ORM's sessions."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from pgq_orm import schema
from pgq_orm.bindings import describe, find_binding
from pgq_orm.errors import SessionError
from pgq_orm.operations import Operation
from pgq_orm.steps import Steps, carry_out_async, installed_version

T = TypeVar("T")

STATEMENT_SECONDS = 30
"""How long any statement of a worker may take."""
LOCK_SECONDS = 2
"""How long it may wait for a lock: an application's transaction that holds a job must not hold up the others."""
BOOKKEEPING_SETTINGS = {
    "application_name": "pgq-orm",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    # However the server spells times for others. Two of one zone with changing clocks would compare by what they show.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    # Limits are counted after a lock, by statements that see what was committed until then.
    "default_transaction_isolation": "read committed",
    # The statements are written for the indexes they have. Without statistics, or with stale ones, the planner
    # would rather sort the whole backlog for every pick (four times slower, and growing with the backlog).
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}
"""What a store sets on its own connections, never on the application's."""

CHANNEL = "pgq"
"""The channel of all wake-ups. The payload is empty, or CANCEL when running jobs were asked to stop, or QUEUES when
what is said of a queue has changed."""
CANCEL = "cancel"
QUEUES = "queues"
LISTEN_CHECK_SECONDS = 60.0
"""How often a quiet LISTEN connection is asked whether it still lives."""


class Scopes(Protocol):
    """What surrounds a handler: the sessions it asks for by annotation, and the hygiene of its connections."""

    def claims(self, annotation: object, *, is_async: bool) -> bool:
        """Whether a parameter with this annotation, of an async handler or of a sync one, is filled from here.

        Raises RegistrationError for an annotation that is ours but cannot be served, such as a sync session in
        a worker that has only an async engine, or in a handler that must not block.
        """
        ...

    def in_loop(self, wanted: Mapping[str, object]) -> AbstractAsyncContextManager[Mapping[str, Any]] | None:
        """Surrounds one call of an async handler; gives values for the wanted parameters (name to annotation).

        What a session did is committed when the handler returns, and rolled back when it raises.
        None when there is nothing to surround it with.
        """
        ...

    def in_thread(self, wanted: Mapping[str, object]) -> AbstractContextManager[Mapping[str, Any]] | None:
        """The same for a sync handler; entered and left in the thread that runs it."""
        ...


class Listener(Protocol):
    """A bare driver connection that hears wake-ups."""

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        """Connects, calls `on_ready`, then `on_notice` with each payload, for as long as the connection lives.

        Raises whatever the driver raises when it dies. Cancelling closes the connection.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """A database, as one worker sees it."""

    @property
    def scopes(self) -> Scopes:
        """What surrounds the handlers."""
        ...

    @property
    def listener(self) -> Listener:
        """Where the wake-ups come from."""
        ...

    @property
    def remedies(self) -> schema.Remedies:
        """The commands of the binding's migration tool."""
        ...

    async def run(self, operation: Operation[T]) -> T:
        """Executes one operation in a transaction of its own."""
        ...

    async def transact(self, steps: Steps[T]) -> T:
        """Carries steps out in one transaction of the application's kind, and commits it: all of it happens or none."""
        ...

    def sibling(self) -> "Store":
        """Another store on the same database with connections of its own, for another thread's loop."""
        ...

    async def close(self) -> None:
        """Closes the connections that the store opened itself; the caller's engine stays as it is."""
        ...


@runtime_checkable
class OnStore(Protocol):
    """What an application has in hand instead of an engine, and that knows its database: Queries of any kind."""

    def open_store(self) -> Store:
        """A store for that database."""
        ...


async def require_schema(store: Store) -> None:
    """Makes sure that the database has the tables of this release. Raises SchemaError that says what to run."""
    schema.require_current(await carry_out_async(installed_version(), store.run), store.remedies)


def open_store(connection: object) -> Store:
    """A store for what the application connects by: an engine of SQLAlchemy, a factory of its sessions, Queries on one
    of them, or a store itself.

    Raises SessionError for anything else.
    """
    if isinstance(connection, Store):
        return connection
    if isinstance(connection, OnStore):
        return connection.open_store()
    binding = find_binding(connection, "store")
    if binding is None:
        raise SessionError(
            f"PgQueuer cannot work on a {describe(connection)}: give it a SQLAlchemy AsyncEngine or Engine, or a "
            "factory of their sessions; in a Django project run `python manage.py pgq_worker` instead"
        )
    opened: Store = binding.open_store(connection)
    return opened
