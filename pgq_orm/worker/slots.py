"""Slots: the room for more attempts, shared by fetchers that ask for jobs at the same time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Slots:
    """How many attempts may start. What one fetcher asks for is not there for the other until it is answered."""

    def __init__(
        self, *, free: Callable[[], float], ahead: Callable[[], int], room: Callable[[str], float]
    ) -> None:
        self._free = free
        self._ahead = ahead
        self._room = room
        self._asked_for: Counter[str] = Counter()  # by queue
        self._is_wanted = False

    def free(self) -> int:
        """How many jobs may be asked for."""
        return int(self._left(self._free() - self._asked_for.total()))

    def free_or_expected(self) -> int:
        """The same, with those that are likely to get free in a moment."""
        return int(self._left(max(self._free(), 0) + self._ahead() - self._asked_for.total()))

    def room(self, queue: str) -> float:
        """How many jobs of the queue may be asked for, if as many slots are free; inf without a limit."""
        return self._left(self._room(queue) - self._asked_for[queue])

    @contextmanager
    def asked_for(self, number: int, queue: str, *, on_answered: Callable[[], None]) -> Iterator[None]:
        """Keeps slots while they are asked for; jobs that come must be taken over right after the block.

        `on_answered` is called if the other fetcher found no room meanwhile.
        """
        self._asked_for[queue] += number
        try:
            yield
        finally:
            self._asked_for[queue] -= number
            # Only then: two that woke each other after every answer would never rest.
            if self._is_wanted:
                self._is_wanted = False
                asyncio.get_running_loop().call_soon(on_answered)

    def _left(self, number: float) -> float:
        self._is_wanted |= number <= 0 and self._asked_for.total() > 0
        return number
