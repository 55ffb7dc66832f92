"""Outlook: when the jobs of a limited entrypoint are worth another look, by what the last looks came to."""

import random
from math import inf

from pgq_orm.operations.limited_picks import Hold, Verdict

LOOK_AGAIN_SECONDS = 0.02
"""How soon to look again after finding work; longer and longer while none is found."""
LOOK_AGAIN_FACTOR = 3
HELD_SECONDS = 1.0
"""How long to wait at the most while others use up a limit: nobody tells when a job ends elsewhere."""
BUSY_SECONDS = 0.01
GATHER_SECONDS = 0.025
"""How long tokens gather: to look for each of a thousand a second would cost more than the jobs."""


class Outlook:
    """What a worker expects of one entrypoint. Instants are seconds on the monotonic clock."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._patience_seconds = poll_seconds
        self._verdict: Verdict | None = None  # while somebody looks, there is none
        self._was_held = False
        self.at = 0.0
        """When to look."""

    @property
    def is_held(self) -> bool:
        """Whether jobs are ready and their limit is used up: a wake-up makes no difference to them."""
        return self._verdict in (Verdict.FULL, Verdict.THROTTLED, Verdict.BUSY)

    def expect_ready(self) -> None:
        """Jobs may be ready where there were none."""
        if not self.is_held:
            self.at = 0.0

    def expect_room(self) -> None:
        """A job ended that counted."""
        if self._verdict in (Verdict.FULL, None):
            self.at = 0.0

    def begin_look(self) -> None:
        """Somebody looks. What is expected from here on comes too late for the answer, and leads to another look."""
        self._was_held, self._verdict = self.is_held, None
        self.at = inf

    def give_up_look(self) -> None:
        """There is no answer."""
        self.at = 0.0

    def learn(self, hold: Hold, *, is_given: bool, now: float, quiet_at: float) -> None:
        """The look came to this, and gave jobs or none; until `quiet_at` others may enqueue without a wake-up."""
        self._verdict = hold.verdict
        if is_given or (self.is_held and not self._was_held):
            self._patience_seconds = LOOK_AGAIN_SECONDS
        longest = HELD_SECONDS if self.is_held else self._poll_seconds
        patience_seconds = min(self._patience_seconds, longest)
        self._patience_seconds = patience_seconds * LOOK_AGAIN_FACTOR
        self.at = min(
            self.at, self._next_look(hold, patience_seconds, is_given=is_given, now=now, quiet_at=quiet_at)
        )

    def _next_look(
        self, hold: Hold, patience_seconds: float, *, is_given: bool, now: float, quiet_at: float
    ) -> float:
        match hold.verdict:
            case Verdict.OPEN:
                return now
            case Verdict.BUSY:
                return now + _jittered(BUSY_SECONDS)
            case Verdict.THROTTLED:
                # Whoever was given the last token comes for the next one. The others wait longer: it may not be theirs.
                least_seconds = GATHER_SECONDS if is_given else _jittered(patience_seconds)
                return now + max(hold.wait_seconds or 0.0, least_seconds)
            case Verdict.FULL:
                return now + _jittered(patience_seconds)
            case Verdict.EMPTY:
                return min(now + patience_seconds, quiet_at if quiet_at > now else inf)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)
