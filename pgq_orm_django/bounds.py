"""Bounds: numbers on a command line that have to be within some, and durations."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from pgq_orm.errors import FlagError
from pgq_orm.processes.flags import parse_duration

T = TypeVar("T")


def bounded(kind: Callable[[str], T], *, at_least: T, at_most: T | None = None) -> Callable[[str], T]:
    """Reads a number within its bounds."""

    def read(text: str) -> T:
        number = kind(text)
        if number < at_least or (at_most is not None and number > at_most):  # type: ignore[operator]
            bounds = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most}"
            raise ArgumentTypeError(f"{text} is out of bounds, expected {bounds}")
        return number

    read.__name__ = kind.__name__  # argparse says "invalid int value" by it
    return read


def duration(text: str) -> timedelta:
    """Reads `90`, `90s`, `15m`, `6h` or `1d`."""
    try:
        return parse_duration(text)
    except FlagError as error:
        raise ArgumentTypeError(str(error)) from error
