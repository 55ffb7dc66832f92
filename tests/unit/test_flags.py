"""Flags: durations, and flags that exclude each other."""

from datetime import timedelta

import pytest

from pgq_orm.errors import FlagError
from pgq_orm.processes.flags import parse_duration, refuse_conflicts


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("0.5", 0.5), ("90s", 90), ("15m", 900), ("6h", 21600), (" 1d ", 86400)]
)
def test_a_duration_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "-1", "1w", "1h30m", "soon", "1e3", "9" * 30])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(FlagError, match="is no duration: expected seconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    "flags",
    [{"processes": 1, "reload": True, "drain": False}, {"processes": None, "reload": True, "drain": True}],
)
def test_flags_that_exclude_each_other_are_refused(flags: dict[str, bool]) -> None:
    with pytest.raises(FlagError, match="leave"):
        refuse_conflicts(**flags)
