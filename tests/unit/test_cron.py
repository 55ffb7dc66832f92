"""Cron: ticks follow the wall clock of their zone, across the changes of daylight saving too."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pgq_orm import cron
from pgq_orm.errors import RegistrationError

VIENNA = "Europe/Vienna"
# The clocks of Vienna change at 01:00 UTC: from 02:00+01 to 03:00+02, and from 03:00+02 back to 02:00+01.
SPRING = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)  # 01:00+01
AUTUMN = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)  # 01:30+02


def ticks(expression: str, timezone: str, after: datetime, count: int) -> list[str]:
    """The next ticks in the zone's own time, each found from the one before as the scheduler does it."""
    found = []
    for _ in range(count):
        after = cron.next_run(expression, timezone, after)
        found.append(after.astimezone(ZoneInfo(timezone)).strftime("%d. %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 * * * *", ["12:20:00", "12:40:00", "13:00:00"]),
        ("@hourly", ["13:00:00", "14:00:00", "15:00:00"]),
        ("* * * * * */20", ["12:00:20", "12:00:40", "12:01:00"]),
        ("0 13,14,18 * * mon-fri", ["13:00:00", "14:00:00", "18:00:00"]),
    ],
)
def test_ticks_come_one_after_the_other(expression: str, expected: list[str]) -> None:
    after = datetime(2026, 7, 1, 12, tzinfo=UTC)
    for time in expected:
        after = cron.next_run(expression, "UTC", after)
        assert after == datetime.fromisoformat(f"2026-07-01T{time}+00:00")


def test_a_tick_lies_strictly_after_the_instant() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert cron.next_run("0 12 * * *", "UTC", noon) == noon + timedelta(days=1)
    assert cron.next_run("0 12 * * *", "UTC", noon - timedelta(microseconds=1)) == noon


def test_hours_are_those_of_the_zone() -> None:
    tick = cron.next_run("0 9 * * *", "Asia/Tokyo", datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert tick == datetime(2026, 7, 2, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["29. 03:00+0200", "30. 02:30+0200"]),
        ("*/20 2 * * *", ["29. 03:00+0200", "30. 02:00+0200"]),
        ("0 3 * * *", ["29. 03:00+0200", "30. 03:00+0200"]),
        ("0 12 * * *", ["29. 12:00+0200", "30. 12:00+0200"]),
    ],
)
def test_a_tick_in_the_hour_that_is_skipped_comes_at_the_change(expression: str, expected: list[str]) -> None:
    assert ticks(expression, VIENNA, SPRING, 2) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@hourly", ["29. 03:00+0200", "29. 04:00+0200"]),
        ("*/30 * * * *", ["29. 01:30+0100", "29. 03:00+0200", "29. 03:30+0200"]),
    ],
)
def test_the_skipped_hour_adds_no_tick_to_those_of_every_hour(expression: str, expected: list[str]) -> None:
    assert ticks(expression, VIENNA, SPRING, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["25. 02:30+0200", "26. 02:30+0100"]),
        ("0,30 2 * * *", ["25. 02:00+0200", "25. 02:30+0200", "26. 02:00+0100"]),
        ("0 */2 * * *", ["25. 02:00+0200", "25. 04:00+0100"]),
        ("0 3 * * *", ["25. 03:00+0100", "26. 03:00+0100"]),
    ],
)
def test_a_named_hour_that_comes_twice_ticks_once(expression: str, expected: list[str]) -> None:
    assert ticks(expression, VIENNA, AUTUMN, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@hourly", ["25. 02:00+0200", "25. 02:00+0100", "25. 03:00+0100"]),
        ("*/30 * * * *", ["25. 02:00+0200", "25. 02:30+0200", "25. 02:00+0100", "25. 02:30+0100"]),
    ],
)
def test_an_expression_for_every_hour_goes_on_through_the_hour_that_comes_twice(
    expression: str, expected: list[str]
) -> None:
    assert ticks(expression, VIENNA, AUTUMN, len(expected)) == expected


def test_every_second_ticks_every_second_of_the_hour_that_comes_twice() -> None:
    after = datetime(2026, 10, 25, 0, 59, 58, tzinfo=UTC)
    for _ in range(4):
        tick = cron.next_run("* * * * * *", VIENNA, after)
        assert tick - after == timedelta(seconds=1)
        after = tick


@pytest.mark.parametrize("expression", ["0 12 * * *", "@daily", "30 4 1 * *", "0 2 * * 1-5"])
@pytest.mark.parametrize("timezone", [VIENNA, "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca"])
def test_a_whole_year_of_ticks_keeps_to_the_wall_clock(expression: str, timezone: str) -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    times = []
    while after.year == 2026:
        following = cron.next_run(expression, timezone, after)
        assert following > after
        times.append(following.astimezone(ZoneInfo(timezone)).time())
        after = following
    # a midnight that Havana skips is the one exception
    exceptions = 1 if (expression, timezone) == ("@daily", "America/Havana") else 0
    assert len(times) - times.count(times[0]) == exceptions


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "60 * * * *", "*/0 * * * *", "@reboot", "every day", "* * * * * * 2030", None, 5],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(RegistrationError, match=r"not a cron expression: .*expected five fields"):
        cron.check(expression, "UTC")


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(RegistrationError, match=r"'0 0 30 2 \*' names a day that never comes"):
        cron.check("0 0 30 2 *", "UTC")


@pytest.mark.parametrize(
    "timezone", ["Europe/Wien", "Europe", "", "../UTC", "/etc/localtime", "UTC\0", None, 5]
)
def test_an_unknown_time_zone_is_refused(timezone: str) -> None:
    with pytest.raises(RegistrationError, match=r"unknown time zone: .* expected a name such as 'UTC'"):
        cron.check("@daily", timezone)


def test_the_usual_spellings_are_accepted() -> None:
    for expression in ("*/5 * * * *", "@hourly", "@DAILY", "0 0 L * *", "0 9 * * mon#1", "* * * * * */10"):
        cron.check(expression, VIENNA)
