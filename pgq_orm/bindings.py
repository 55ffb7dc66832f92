"""Bindings: which package serves what an application connects by.

The one place where the core names its bindings: by the package whose object the application passes in, and as text, so
that nobody pays for the import of an ORM that is not there.
"""

from importlib import import_module
from types import ModuleType

_BINDINGS = {"sqlalchemy": "pgq_orm.sqlalchemy"}


def find_binding(connection: object, module: str) -> ModuleType | None:
    """A module of the binding that knows such objects; None if no binding does."""
    binding = _binding_of(type(connection))
    return import_module(f"{binding}.{module}") if binding else None


def is_of_binding(kind: object) -> bool:
    """Whether it is a class of objects that some binding may know."""
    return isinstance(kind, type) and _binding_of(kind) is not None


def _binding_of(kind: type) -> str | None:
    found = (_BINDINGS.get(base.__module__.partition(".")[0]) for base in kind.__mro__)
    return next(filter(None, found), None)


def describe(connection: object) -> str:
    """The kind of object that it is, for an error."""
    return f"{type(connection).__module__}.{type(connection).__qualname__}"
