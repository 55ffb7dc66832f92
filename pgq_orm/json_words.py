"""JSON words: which part of a value JSON cannot express, and what to pass in its place."""

from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta

INSTEAD: Mapping[type, str] = {
    date: "its isoformat()",
    time: "its isoformat()",
    timedelta: "its total_seconds()",
    bytes: "its hex(), or the job's payload",
    set: "a sorted list of it",
    frozenset: "a sorted list of it",
}
"""What is passed for values of these kinds."""


def remedy(value: object) -> str:
    """Where in the value there is something that JSON has no words for, and what to pass instead; "" if nowhere."""
    for place, part in _parts(value):
        if isinstance(part, dict):
            keys = [key for key in part if not isinstance(key, str | int | float | None)]
            if keys:
                return f" (at {place}: the keys of a dict must be strings, not {keys[0]!r})" if place else ""
        elif not isinstance(part, list | tuple | str | int | float | None):
            instead = next((words for kind, words in INSTEAD.items() if isinstance(part, kind)), "its str()")
            return f" (at {place}: pass {instead}, or declare a task, which converts its arguments by itself)"
    return ""


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Every part of a value under its place, in the order in which JSON would have written them."""
    left = [("", value)]  # no recursion: a value may be nested deeper than that
    while left:
        place, part = left.pop()
        yield place, part
        if isinstance(part, dict):
            left += reversed([(f"{place}[{key!r}]", each) for key, each in part.items()])
        elif isinstance(part, list | tuple):
            left += reversed([(f"{place}[{index}]", each) for index, each in enumerate(part)])
