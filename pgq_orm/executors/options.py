"""Options: what may be said of an executor, checked where it is made."""

from datetime import timedelta
from typing import TypeAlias, overload

from pgq_orm.errors import RegistrationError

Duration: TypeAlias = timedelta | float
"""A timedelta, or seconds."""


@overload
def seconds(name: str, duration: Duration) -> float: ...
@overload
def seconds(name: str, duration: Duration | None) -> float | None: ...
def seconds(name: str, duration: Duration | None) -> float | None:
    """The seconds of an option; None stays None. Raises RegistrationError unless they are zero or more."""
    length = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if length is not None and (not isinstance(length, int | float) or not length >= 0):
        raise RegistrationError(f"{name} must be a timedelta or seconds, zero or more, not {duration!r}")
    return length


def require_count(name: str, number: int | None) -> None:
    """Refuses what counts nothing; None is for no limit. Raises RegistrationError."""
    if number is not None and (not isinstance(number, int) or number < 1):
        raise RegistrationError(f"{name} must be a positive integer or None, not {number!r}")
