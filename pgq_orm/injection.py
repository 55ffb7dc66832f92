"""Injection: the mark of a task's parameters that the worker fills, and that callers leave alone."""

from typing import Any, Never

from pgq_orm.errors import NotInjectedError


class _Injected:
    """Stands where the worker's own value will be; any use of it says that there was no worker."""

    def __repr__(self) -> str:
        return "INJECTED"

    def __reduce__(self) -> str:
        return "INJECTED"  # there is one of it, in every process

    def __getattr__(self, name: str) -> Never:
        raise NotInjectedError(name)


INJECTED: Any = _Injected()
"""The default of a parameter that the worker fills by its annotation: `session: AsyncSession = INJECTED`."""
