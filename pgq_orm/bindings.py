"""Bindings: which package serves what an application connects by.

The one place where the core names its bindings: by the package whose object the application passes in, and as text, so
that nobody pays for the import of an ORM that is not there.
"""

from importlib import import_module
from types import ModuleType

_BINDINGS = {"sqlalchemy": "pgq_orm.sqlalchemy"}


def find_binding(connection: object, module: str) -> ModuleType | None:
    """A module of the binding that knows such objects; None if no binding does."""
    for kind in type(connection).__mro__:
        if binding := _BINDINGS.get(kind.__module__.partition(".")[0]):
            return import_module(f"{binding}.{module}")
    return None


def describe(connection: object) -> str:
    """The kind of object that it is, for an error."""
    return f"{type(connection).__module__}.{type(connection).__qualname__}"
