"""Cron: which instant an expression names next. Pure arithmetic on aware datetimes."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from pgq_orm.errors import RegistrationError


def next_run(expression: str, timezone: str, after: datetime) -> datetime:
    """The first tick of the expression strictly after an aware instant, in the zone's wall-clock time.

    Five fields, or six with seconds at the end, or @hourly and the like, as croniter reads them. Across a change
    of daylight saving: a tick in the hour that is skipped falls on the next instant that exists, and a daily tick
    in the hour that comes twice fires once.
    """
    local = after.astimezone(ZoneInfo(timezone))
    tick: datetime = croniter(expression, local).get_next(datetime)
    return tick


def check(expression: str, timezone: str) -> None:
    """Raises RegistrationError if the expression or the time zone does not exist."""
    if not isinstance(expression, str) or not croniter.is_valid(expression):
        raise RegistrationError(
            f"not a cron expression: {expression!r}; expected five fields, for example '*/5 * * * *', "
            "six with seconds at the end, or '@hourly'"
        )
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise RegistrationError(
            f"unknown time zone: {timezone!r}; expected a name such as 'UTC' or 'Europe/Vienna' "
            "(pip install tzdata if the system has no time zones)"
        ) from error
