"""Durations: options that say how long, in seconds or with a unit."""

from datetime import timedelta

import typer

from pgq_orm.errors import FlagError
from pgq_orm.processes.flags import parse_duration


def duration(text: str) -> timedelta:
    """Reads `90`, `90s`, `15m`, `6h` or `1d`."""
    try:
        return parse_duration(text)
    except FlagError as error:
        raise typer.BadParameter(str(error)) from error
