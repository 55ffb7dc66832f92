"""Flags: what the commands that run a worker ask, in the same words wherever they are asked."""

import math
import re
from datetime import timedelta

from pgq_orm.errors import FlagError

HELP = {
    "queue": "A queue to serve; give it several times for several. By default those that the application declares, "
    "and 'default'.",
    "concurrency": "Jobs that run at a time, in each process.",
    "batch-size": "Jobs picked by one statement, at the most.",
    "dequeue-timeout": "Seconds that an idle worker relies on being woken.",
    "heartbeat-timeout": "Seconds without heartbeat after which a worker is declared dead.",
    "shutdown-on-listener-failure": "End with an error when wake-ups cannot be heard, instead of polling.",
    "drain": "End when no job is ready any more; deferred ones are left.",
    "max-jobs": "End politely after so many attempts, never one more. With --processes, the process is replaced.",
    "max-time": "End politely after so long, or up to a tenth sooner. With --processes, the process is replaced.",
    "shutdown-timeout": "How long a polite end waits for what runs, which is then given back. Without it: for ever.",
    "processes": "Run so many processes, and replace those that end. Without it: this one.",
    "probe-port": "Answer /livez, /readyz and /metrics on this port; 0 takes a free one, and says which.",
    "probe-host": "Where to answer them.",
    "reload": "For development: start afresh when the code changes.",
    "loop": "The event loop: asyncio, uvloop, or auto, which is uvloop where that is installed.",
}
"""The help of each flag."""
PROBE_HOST = "0.0.0.0"
"""Every interface: who probes is another machine, or at least another network namespace."""

LONGEST_SECONDS = 100 * 365 * 86400
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> timedelta:
    """Seconds (`90`, `0.5`), or a number with a unit: `90s`, `15m`, `6h`, `1d`. Raises FlagError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    seconds = float(found[1]) * _UNIT_SECONDS[found[2]] if found else math.inf
    if seconds > LONGEST_SECONDS:
        raise FlagError(
            f"{text!r} is no duration: expected seconds, or a number with s, m, h or d, such as 90s or 6h"
        )
    return timedelta(seconds=seconds)


def refuse_conflicts(*, processes: int | None, drain: bool, reload: bool) -> None:
    """Raises FlagError for flags that exclude each other."""
    if reload and processes is not None:
        raise FlagError("--reload is for development and runs one process: leave --processes out")
    if reload and drain:
        raise FlagError("--drain ends by itself, so there is nothing to reload: leave one of the two out")
