"""Factories: where an application's PgQueuer comes from, by its name on a command line."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from difflib import get_close_matches
from importlib import import_module

from pgq_orm.applications import PgQueuer
from pgq_orm.errors import FactoryError


def load_factory(path: str) -> object:
    """What `package.module:name` names, or `package.module.name`. Raises FactoryError."""
    module_name, separator, name = path.rpartition(":" if ":" in path else ".")
    if not separator or not module_name or not name or path.startswith(".") or "/" in path:
        raise FactoryError(
            f"cannot read {path!r}: expected 'package.module:name', the name of a PgQueuer or of "
            "a function that makes one"
        )
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # a module that the application itself imports
        raise FactoryError(
            f"no module named {error.name!r}: expected an importable 'package.module:name' "
            "(the current directory is searched first)"
        ) from error
    try:
        found: object = getattr(module, name)
    except AttributeError:
        close = get_close_matches(name, vars(module), n=1)
        guess = f"; did you mean '{module_name}:{close[0]}'?" if close else ""
        raise FactoryError(f"module {module_name!r} has no {name!r}{guess}") from None
    return found


@asynccontextmanager
async def opened(factory: object) -> AsyncIterator[PgQueuer]:
    """The PgQueuer that the factory gives, and the end of whatever it opened.

    The factory is a PgQueuer, or a context manager of one (sync or async), or a function or coroutine function
    without parameters that returns either. Raises FactoryError for anything else.
    """
    made: object = factory
    if callable(made) and not isinstance(made, PgQueuer):
        made = _called(made)
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AbstractAsyncContextManager):
        async with made as entered:
            yield _require_pgqueuer(entered)
    elif isinstance(made, AbstractContextManager):
        with made as entered:
            yield _require_pgqueuer(entered)
    else:
        yield _require_pgqueuer(made)


def _called(factory: Callable[..., object]) -> object:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise FactoryError(f"the factory {factory!r} cannot be called without arguments: {error}") from error
    except ValueError:
        pass  # a builtin, whose signature nobody knows
    return factory()


def _require_pgqueuer(made: object) -> PgQueuer:
    if not isinstance(made, PgQueuer):
        raise FactoryError(
            f"the factory gave {made!r}, expected a PgQueuer: return it, or yield it from a context manager"
        )
    return made
