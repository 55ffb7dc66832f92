"""Testing: runs what a test has enqueued, on the test's own connection, and says what is enqueued.

Nothing is committed and no worker is needed: a test that rolls back leaves nothing behind. For Django there is
`pgq_orm_django.testing`.
"""

from collections.abc import Coroutine, MutableMapping
from datetime import timedelta
from types import ModuleType
from typing import Any, Unpack, overload

from pgq_orm.applications import Application
from pgq_orm.bindings import describe, find_binding
from pgq_orm.errors import SessionError
from pgq_orm.models import Job
from pgq_orm.queues import Names, names_in
from pgq_orm.registry import Registry, require_registry
from pgq_orm.steps import named
from pgq_orm.tasks import AsyncTransaction, SyncTransaction
from pgq_orm.testing.bench import LIMIT, Attempt, Wish
from pgq_orm.testing.expectations import Expectation, Expected, Target, enqueued, expect, not_enqueued

__all__ = ["Attempt", "assert_enqueued", "assert_not_enqueued", "drain"]


@overload
def drain(
    session: AsyncTransaction,
    handlers: Registry | Application,
    *,
    queues: Names | None = None,
    retries: bool = True,
    ahead: timedelta = timedelta(0),
    raises: bool = True,
    limit: int = LIMIT,
    resources: MutableMapping[Any, Any] | None = None,
) -> Coroutine[Any, Any, list[Attempt]]: ...


@overload
def drain(
    session: SyncTransaction,
    handlers: Registry | Application,
    *,
    queues: Names | None = None,
    retries: bool = True,
    ahead: timedelta = timedelta(0),
    raises: bool = True,
    limit: int = LIMIT,
    resources: MutableMapping[Any, Any] | None = None,
) -> list[Attempt]: ...


def drain(
    session: AsyncTransaction | SyncTransaction,
    handlers: Registry | Application,
    *,
    queues: Names | None = None,
    retries: bool = True,
    ahead: timedelta = timedelta(0),
    raises: bool = True,
    limit: int = LIMIT,
    resources: MutableMapping[Any, Any] | None = None,
) -> Any:
    """Runs the jobs that are due, and those that they enqueue, in the session's transaction; answers every attempt.

    Awaited on an async session. One job after the other, of all queues or of those named; jobs that `handlers` has no
    handler for are left, and the log says so. A handler's session is on the same connection, in a savepoint: what it
    commits stays in the test's transaction, what it rolls back is gone. Afterwards the session's own objects are loaded
    anew.

    An attempt that is to be made again is made at once, unless `retries` is off; a job that ends as `exception` raises
    what its handler raised, unless `raises` is off. Jobs whose time has not come are left, unless they come due within
    `ahead`. Raises DrainLimitError after `limit` attempts.
    """
    __tracebackhide__ = True
    if resources is None:
        resources = handlers.resources if isinstance(handlers, Application) else {}
    wish = Wish(
        registry=_registry_of(handlers),
        resources=resources,
        queues=None if queues is None else names_in(queues),
        retries=retries,
        ahead=ahead,
        raises=raises,
        limit=limit,
    )
    return named(_binding(session).drain(session, wish), "drain")


@overload
def assert_enqueued(
    session: AsyncTransaction,
    target: Target,
    *,
    count: int | None = None,
    handlers: Registry | Application | None = None,
    **expected: Unpack[Expected],
) -> Coroutine[Any, Any, list[Job]]: ...


@overload
def assert_enqueued(
    session: SyncTransaction,
    target: Target,
    *,
    count: int | None = None,
    handlers: Registry | Application | None = None,
    **expected: Unpack[Expected],
) -> list[Job]: ...


def assert_enqueued(
    session: AsyncTransaction | SyncTransaction,
    target: Target,
    *,
    count: int | None = None,
    handlers: Registry | Application | None = None,
    **expected: Unpack[Expected],
) -> Any:
    """Asserts that a job is still to be done, or `count` of them; answers them. Awaited on an async session.

    `target` is a task, a call of one such as `send_receipt.call(order_id=7)`, an entrypoint's decorated function, which
    `handlers` must have, or its name, which they must have if they are given: otherwise UnknownEntrypointError. See
    Expected for what else may be said. The AssertionError shows the job that comes nearest, and where it differs.
    """
    __tracebackhide__ = True
    expectation = _expect(target, expected, handlers)
    return named(_binding(session).look(session, enqueued(expectation, count)), "assert_enqueued")


@overload
def assert_not_enqueued(
    session: AsyncTransaction,
    target: Target | None = None,
    *,
    handlers: Registry | Application | None = None,
    **expected: Unpack[Expected],
) -> Coroutine[Any, Any, None]: ...


@overload
def assert_not_enqueued(
    session: SyncTransaction,
    target: Target | None = None,
    *,
    handlers: Registry | Application | None = None,
    **expected: Unpack[Expected],
) -> None: ...


def assert_not_enqueued(
    session: AsyncTransaction | SyncTransaction,
    target: Target | None = None,
    *,
    handlers: Registry | Application | None = None,
    **expected: Unpack[Expected],
) -> Any:
    """Asserts that no such job is still to be done; without a target, none at all. Awaited on an async session.

    A name that is misspelt is of no job, ever: give `handlers`, by which it is refused, or name the function itself.
    """
    __tracebackhide__ = True
    expectation = _expect(target, expected, handlers)
    return named(_binding(session).look(session, not_enqueued(expectation)), "assert_not_enqueued")


def _expect(
    target: Target | None, expected: Expected, handlers: Registry | Application | None
) -> Expectation:
    __tracebackhide__ = True
    return expect(target, expected, None if handlers is None else _registry_of(handlers))


def _registry_of(handlers: Registry | Application) -> Registry:
    return require_registry(
        handlers.registry if isinstance(handlers, Application) else handlers,
        "a Registry or an application such as PgQueuer",
    )


def _binding(session: object) -> ModuleType:
    binding = find_binding(session, "testing")
    if binding is None:
        raise SessionError(
            f"jobs are looked for on a session or connection of SQLAlchemy, not on a {describe(session)}; in a Django "
            "project import pgq_orm_django.testing instead, which needs none"
        )
    return binding
