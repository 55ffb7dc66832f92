"""Callees: jobs of an entrypoint that serves many functions are told apart by the function that they name."""

from collections.abc import Mapping
from typing import Any

from pgq_orm.errors import InvalidJobError

NAMED_BY: Mapping[str, str] = {
    "pgq.function": "func",
    "django.tasks": "task",
    "django.tasks.transactional": "task",
}
"""By entrypoint, which of the arguments has the function's path."""


def title(entrypoint: str, arguments: Mapping[str, Any] | None) -> str:
    """What people are told that a job is: its entrypoint, and the function that it names, if it does."""
    argument = NAMED_BY.get(entrypoint)
    if argument is None or not arguments:
        return entrypoint
    try:
        callee = arguments.get(argument)
    except InvalidJobError:  # JSON that Python cannot read
        return entrypoint
    return f"{entrypoint} {callee}" if isinstance(callee, str) else entrypoint
