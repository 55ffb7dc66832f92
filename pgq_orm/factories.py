"""Factories: where an application's PgQueuer comes from, by its name on a command line."""

import functools
import inspect
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from pgq_orm.applications import PgQueuer
from pgq_orm.bindings import describe
from pgq_orm.errors import FactoryError
from pgq_orm.registry import Registry

EXPECTED = "expected 'package.module:name', the name of a PgQueuer or of a function that makes one"


def load_factory(path: str) -> object:
    """What `package.module:name` names, or `package.module.name`.

    Raises FactoryError, with the command that would do, for what can be no factory.
    """
    module_name, separator, name = path.rpartition(":" if ":" in path else ".")
    if "/" in path or path.endswith(".py") or module_name.endswith(".py"):
        raise FactoryError(f"{path!r} is the path of a file: {EXPECTED}: run `pgq run {_importable(path)}`")
    if not separator and path.isidentifier():
        raise _no_factory(path, module := _imported(path), module)
    if not module_name or not name or path.startswith("."):
        raise FactoryError(f"cannot read {path!r}: {EXPECTED}")
    module = _imported(module_name)
    if not hasattr(module, name) and separator == "." and hasattr(module, "__path__") and find_spec(path):
        _imported(path)  # a package has its modules once they are imported
    if not hasattr(module, name):
        close = get_close_matches(name, vars(module), n=1)
        guess = f"did you mean '{module_name}:{close[0]}'?" if close else _remedy(module)
        raise FactoryError(f"module {module_name!r} has no {name!r}: {guess}")
    found: object = getattr(module, name)
    if isinstance(found, ModuleType):
        raise _no_factory(path, found, found)
    if not isinstance(found, PgQueuer | AbstractAsyncContextManager | AbstractContextManager):
        _require_factory(path, found, module)
    return found


@asynccontextmanager
async def opened(factory: object) -> AsyncIterator[PgQueuer]:
    """The PgQueuer that the factory gives, and the end of whatever it opened.

    The factory is a PgQueuer, or a context manager of one (sync or async), or a function or coroutine function
    without parameters that returns either. Raises FactoryError for anything else.
    """
    made: object = factory
    if callable(made) and not isinstance(made, PgQueuer):
        made = made()
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


def _imported(module_name: str) -> ModuleType:
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # a module that the application itself imports
        raise FactoryError(
            f"no module named {error.name!r}: expected an importable 'package.module:name' "
            "(the current directory is searched first)"
        ) from error


def _importable(file_path: str) -> str:
    """`shop/worker.py:pgq` as Python names it: `shop.worker:pgq`."""
    file_name, _, name = file_path.partition(":")
    return f"{file_name.removesuffix('.py').strip('./').replace('/', '.')}:{name or 'pgq'}"


def _require_factory(path: str, found: object, module: ModuleType) -> None:
    if not callable(found):
        raise _no_factory(path, found, module)
    try:
        inspect.signature(found).bind()
    except ValueError:
        return  # a builtin, whose signature nobody knows
    except TypeError as error:
        if not (inspect.isroutine(found) or isinstance(found, type | functools.partial)):
            raise _no_factory(path, found, module) from error  # an ASGI application, a task
        raise FactoryError(
            f"{path!r} cannot be called without arguments, and there are none to give ({error}): write a function "
            f"without parameters that calls it, `def make_pgq()`, and run `pgq run {module.__name__}:make_pgq`"
        ) from error


def _no_factory(path: str, found: object, module: ModuleType) -> FactoryError:
    kind = "module" if found is module else describe(found)
    return FactoryError(
        f"{path!r} is a {kind}, expected a PgQueuer or a function that makes one: {_remedy(module, found)}"
    )


def _remedy(module: ModuleType, found: object = None) -> str:
    """The command for the module's PgQueuer, or how it gets one."""
    names = [name for name, value in vars(module).items() if isinstance(value, PgQueuer)]
    if names:
        return f"run `pgq run {module.__name__}:{names[0]}`"
    arguments = "engine, registry=…" if isinstance(found, Registry) else "engine"
    return f"write `pgq = PgQueuer({arguments})` there, and run `pgq run {module.__name__}:pgq`"


def _require_pgqueuer(made: object) -> PgQueuer:
    if not isinstance(made, PgQueuer):
        raise FactoryError(
            f"the factory gave {made!r}, expected a PgQueuer: return it, or yield it from a context manager"
        )
    return made
