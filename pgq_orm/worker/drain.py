"""Drain: tells when nothing is left to do, however many fetchers look for it."""

from collections.abc import Callable, Iterable

UNLIMITED = ""
"""The source of all jobs whose entrypoint has no limit; each other one is a source of its own, by its name."""


class Drain:
    """Nothing is left when every source has been looked into in vain, while nothing ran and since the last pick."""

    def __init__(
        self, *, limited: Iterable[str], is_idle: Callable[[], bool], on_drained: Callable[[], None]
    ) -> None:
        self._sources = {UNLIMITED, *limited}
        self._is_idle = is_idle
        self._on_drained = on_drained
        self._picks = 0
        self._empty: set[str] = set()

    def picked(self) -> None:
        """Jobs were picked: they may enqueue others, wherever nothing was found before."""
        self._picks += 1
        self._empty.clear()

    def begin_look(self) -> "Look":
        """Call it before asking: a job that ends meanwhile may have enqueued another, too late for the answer."""
        return Look(self, self._picks if self._is_idle() else None)

    def _looked(self, picks: int | None, empty: Iterable[str], others: Iterable[str]) -> None:
        self._empty.difference_update(others)
        if picks == self._picks and self._is_idle():
            self._empty.update(empty)
            if self._empty >= self._sources:
                self._on_drained()


class Look:
    """One look into some of the sources."""

    def __init__(self, drain: Drain, picks: int | None) -> None:
        self._drain = drain
        self._picks = picks

    def end(self, *, empty: Iterable[str], others: Iterable[str] = ()) -> None:
        """Which sources had no job that is ready, and which had some, picked or held back."""
        self._drain._looked(self._picks, empty, others)
