"""Queue words: how what is said of queues is read from a command line, done, and shown on it."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from pgq_orm import queues
from pgq_orm.errors import InvalidQueueError
from pgq_orm.queues import UNCHANGED, Queue
from pgq_orm.reports import QueueState
from pgq_orm.steps import Steps

NO_LIMIT = 0
"""What takes a limit away."""
SHORTEST_WINDOW = 0.001
"""Seconds."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(rf"(\d{{1,9}})\s*([{''.join(_UNITS)}])")


def parse_resume_at(text: str) -> timedelta | datetime:
    """`30m`, `2h`, or an instant such as `2026-01-31T08:00+01:00`. Raises InvalidQueueError for anything else."""
    if duration := _DURATION.fullmatch(text.strip()):
        return timedelta(**{_UNITS[duration[2]]: int(duration[1])})
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidQueueError(
            f"cannot read {text!r}: expected a time such as 30m, 2h or 1d, or an instant such as "
            "2026-01-31T08:00+01:00"
        ) from None
    if instant.utcoffset() is None:
        raise InvalidQueueError(
            f"{text!r} has no time zone: add its offset, as in {text}+00:00, or say how long, as in 2h"
        )
    return instant


def change_limits(
    names: list[str], *, concurrency: int | None, rate: int | None, window: float | None
) -> Steps[list[QueueState]]:
    """Changes the limits that are given, and answers the queues; NO_LIMIT takes one away.

    A queue of which nothing is said is declared first.
    """
    yield from queues.declare_queue(Queue(name) for name in names)
    yield from queues.update_queue(
        names,
        concurrency=UNCHANGED if concurrency is None else concurrency or None,
        rate_limit=UNCHANGED if rate is None else rate or None,
        rate_limit_window=UNCHANGED if window is None else window,
    )
    return (yield from queues.fetch_queues(names))


def describe(state: QueueState) -> str:
    """A queue in one line."""
    said = [f"{state.concurrency} at a time in each worker" if state.concurrency else ""]
    if state.rate_limit:
        said.append(f"{state.rate_limit} start in {state.rate_limit_window.total_seconds():g} s")
    if state.paused:
        until = f" until {state.resume_at:%Y-%m-%d %H:%M:%S %Z}" if state.resume_at else ""
        said.append(f"paused{until}")
    return f"{state.name}: {', '.join(filter(None, said)) or 'no limits'}"


def describe_all(states: Iterable[QueueState]) -> str:
    """The queues, one in a line."""
    return "\n".join(map(describe, states)) or "Nothing is said of any queue: none is paused, or has limits."


def list_names(names: Iterable[str]) -> str:
    """`mail, reports`, or `none`."""
    return ", ".join(names) or "none"
