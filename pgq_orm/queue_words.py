"""Queue words: how what is said of queues is read from a command line, done, and shown on it."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from difflib import get_close_matches

from pgq_orm import administration, queues
from pgq_orm.errors import InvalidQueueError, PgqError
from pgq_orm.operations.additions import DEFAULT_QUEUE
from pgq_orm.queues import UNCHANGED, Queue, ResumeAt
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


def pause(names: list[str], resume_at: ResumeAt) -> Steps[str]:
    """Pauses the queues, and says so."""
    hints = yield from _hints(names)
    paused = yield from queues.pause_queue(names, resume_at=resume_at)
    return "\n".join([f"paused: {list_names(paused)}", *hints])


def change_limits(
    names: list[str], *, concurrency: int | None, rate: int | None, window: float | None
) -> Steps[str]:
    """Changes the limits that are given, and shows the queues; NO_LIMIT takes one away.

    A queue of which nothing is said is declared first.
    """
    hints = yield from _hints(names)
    yield from queues.declare_queue(Queue(name) for name in names)
    yield from queues.update_queue(
        names,
        concurrency=UNCHANGED if concurrency is None else concurrency or None,
        rate_limit=UNCHANGED if rate is None else rate or None,
        rate_limit_window=UNCHANGED if window is None else window,
    )
    states = yield from queues.fetch_queues(names)
    return "\n".join([*map(describe, states), *hints])


def remove(names: list[str]) -> Steps[str]:
    """Forgets what is said of queues, and says so. Raises PgqError, before anything is changed, if one holds jobs."""
    held: Counter[str] = Counter()
    for size in (yield from administration.queue_size()):
        held[size.queue] += size.count
    if busy := [f"{name!r} ({held[name]})" for name in names if held[name]]:
        raise PgqError(
            f"nothing is removed: jobs are to be done in the queue {', '.join(busy)}: cancel them first"
        )
    removed = yield from queues.delete_queue(names)
    unknown = [f"{name}: nothing was said of it" for name in names if name not in removed]
    return "\n".join([f"removed: {list_names(removed)}", *unknown])


def _hints(names: list[str]) -> Steps[list[str]]:
    """A line for each queue without settings, jobs and workers: perhaps a slip of the pen."""
    known = {state.name for state in (yield from queues.fetch_queues())}
    if known.issuperset(names):
        return []
    known |= {DEFAULT_QUEUE, *(size.queue for size in (yield from administration.queue_size()))}
    known |= {queue for worker in (yield from administration.active_workers()) for queue in worker.queues}
    return [_hint(name, known) for name in names if name not in known]


def _hint(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{name}: no such queue was known, it is created{guess}"


def describe(state: QueueState) -> str:
    """A queue in one line."""
    said = [f"{state.concurrency} at a time in each worker" if state.concurrency else ""]
    said += [describe_rate(state), describe_pause(state)]
    return f"{state.name}: {', '.join(filter(None, said)) or 'no limits'}"


def describe_rate(state: QueueState) -> str:
    """How many of the queue's jobs may start, and in what time; empty without such a limit."""
    window = state.rate_limit_window.total_seconds()
    return f"{state.rate_limit} start in {window:g} s" if state.rate_limit else ""


def describe_pause(state: QueueState) -> str:
    """Whether the queue is paused, and until when; empty if it is not."""
    until = f" until {state.resume_at:%Y-%m-%d %H:%M:%S %Z}" if state.resume_at else ""
    return f"paused{until}" if state.paused else ""


def list_names(names: Iterable[str]) -> str:
    """`mail, reports`, or `none`."""
    return ", ".join(names) or "none"
