"""Figures: what was measured, of whom, round by round."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any


class Figures:
    """Values by metric and contestant, and the marks of those that lost a job, ran one twice, or failed."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.marks: list[str] = []

    def add(self, contestant: str, measured: Mapping[str, float | None]) -> None:
        """Takes what one measurement came to; None is what could not be measured here."""
        for metric, value in measured.items():
            if value is not None:
                self._values[metric][contestant].append(value)

    def mark(self, contestant: str, measurement: str, what: str) -> None:
        """Notes what went wrong, to be shown with the figures."""
        self.marks.append(f"{contestant}, {measurement}: {what}")

    def median(self, metric: str, contestant: str) -> float | None:
        """The median of all rounds, None if it was not measured."""
        values = self._values.get(metric, {}).get(contestant)
        return statistics.median(values) if values else None

    def ratio(self, contestant: str, metric: str, to: str) -> float | None:
        """What two of a contestant's own medians come to."""
        value, base = self.median(metric, contestant), self.median(to, contestant)
        return value / base if value is not None and base else None

    def measured(self, metric: str) -> Iterator[str]:
        """Who has a value."""
        yield from self._values.get(metric, ())

    def as_json(self) -> dict[str, Any]:
        """Everything, with each round's value."""
        return {
            metric: {
                contestant: {"median": statistics.median(values), "rounds": values}
                for contestant, values in by_contestant.items()
            }
            for metric, by_contestant in sorted(self._values.items())
        }
