"""Cron: which instant an expression names next. Pure arithmetic on aware datetimes."""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from pgq_orm.errors import RegistrationError

_SECOND = timedelta(seconds=1)
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)


def next_run(expression: str, timezone: str, after: datetime) -> datetime:
    """The first tick of the expression strictly after an aware instant, by the zone's wall clock; answered in UTC.

    Five fields, or six with seconds at the end, or @hourly and the like, as croniter reads them. When the clocks go
    forward, ticks in the hour that is skipped fall together on the instant of the change. When they go back, an
    expression for every hour (`*`) ticks through both passes of the hour that comes twice; one that names its hours
    ticks in the first pass only, so that a daily job runs once.
    """
    zone = ZoneInfo(timezone)
    is_for_every_hour = croniter.expand(expression)[0][1] == ["*"]
    # Walks on the naive wall clock, with the offset held still until the clocks change: what croniter makes of aware
    # datetimes depends on its version, and 6.0 is an hour wrong on the days around a change.
    since = after.astimezone(zone)
    wall = since.replace(tzinfo=None)
    while True:
        wall = croniter(expression, wall).get_next(datetime)
        tick = (wall - _offset(since)).replace(tzinfo=UTC).astimezone(zone)
        if _offset(tick) == _offset(since):
            if is_for_every_hour or not tick.fold:
                return tick.astimezone(
                    UTC
                )  # in its zone, an instant of an hour that comes twice equals no other
        else:
            since = _change_of_clocks(since, tick)
            new_wall = since.replace(tzinfo=None)
            if new_wall > wall:
                return since.astimezone(UTC)
            wall = new_wall - _SECOND


def check(expression: str, timezone: str) -> None:
    """Raises RegistrationError if the expression or the time zone does not exist."""
    if not isinstance(expression, str) or not croniter.is_valid(expression) or len(expression.split()) > 6:
        raise RegistrationError(
            f"not a cron expression: {expression!r}; expected five fields, for example '*/5 * * * *', "
            "six with the seconds last, for example '* * * * * */10', or '@hourly'"
        )
    check_timezone(timezone)
    try:
        next_run(expression, timezone, _ANY_DAY)
    except CroniterError as error:
        raise RegistrationError(f"the cron expression {expression!r} names a day that never comes") from error


def check_timezone(timezone: str) -> None:
    """Raises RegistrationError if the time zone does not exist. Cheap for one that does."""
    try:
        ZoneInfo(timezone)
    # OSError: 'Europe' is a directory
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise RegistrationError(
            f"unknown time zone: {timezone!r}; expected a name such as 'UTC' or 'Europe/Vienna' "
            "(pip install tzdata if the system has no time zones)"
        ) from error


def _change_of_clocks(before: datetime, later: datetime) -> datetime:
    """The instant between the two from which the offset of `before` no longer holds."""
    seconds = range(int(before.timestamp()), int(later.timestamp()))
    zone = before.tzinfo
    passed = bisect_left(
        seconds, True, key=lambda second: _offset(datetime.fromtimestamp(second, zone)) != _offset(before)
    )
    return datetime.fromtimestamp(seconds.start + passed, zone)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)
