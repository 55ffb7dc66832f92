"""Replies: what both fetchers hold of the answers to their picks, and of wake-ups that come in between."""

ECHO_SECONDS = 0.05
"""How long after a wake-up others may still enqueue without one of their own, and commit."""
UNTOLD_POLLS = 2
"""How many polls pass between two looks for what a wake-up tells of, in case it was lost."""


def require_timely(seconds: float, reply_seconds: float) -> None:
    """Refuses a pick's reply that took so long that the heartbeat may have given its jobs back, not knowing them.

    Raises TimeoutError; the jobs are not to be run then.
    """
    if seconds > reply_seconds:
        raise TimeoutError(f"a pick's reply took more than {reply_seconds} s and was thrown away")
