"""Durations: a length of time is a timedelta, so that its unit is seen where it is written."""

from datetime import timedelta

ZERO = timedelta(0)


def require_duration(name: str, given: object, *, refusal: type[Exception] = TypeError) -> timedelta:
    """The duration as it is. Raises `refusal` for anything but a timedelta, and tells a number what to write."""
    if isinstance(given, timedelta):
        return given
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    example = given if is_number else 5
    raise refusal(f"{name} must be a timedelta, such as timedelta(seconds={example!r}), not {given!r}")


def require_positive_duration(name: str, given: object, *, refusal: type[Exception] = TypeError) -> timedelta:
    """The same, and longer than no time."""
    duration = require_duration(name, given, refusal=refusal)
    if duration <= ZERO:
        raise refusal(f"{name} must be a positive timedelta, not {given!r}")
    return duration


def seconds_in(name: str, given: object) -> float | None:
    """The seconds of a duration; None stays None. Raises TypeError for anything else."""
    return None if given is None else require_duration(name, given).total_seconds()
