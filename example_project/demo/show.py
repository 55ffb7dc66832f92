"""Show: what the demo prints, moving on a terminal and plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from example_project.demo.failure import Failure

PLAIN_WIDTH = 110
PLAIN_SECONDS = 1.0

Advance: TypeAlias = Callable[[Mapping[str, int]], None]
"""Told how far each of several things is."""


class Show:
    """Writes to standard output."""

    def __init__(self) -> None:
        console = Console(highlight=False)
        self.console = console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
        self._started = time.monotonic()

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]\n")

    def say(self, what: RenderableType = "") -> None:
        self.console.print(what)

    def addresses(self, addresses: Mapping[str, str]) -> None:
        """Where to go, one a line, whole even where lines are short."""
        for name, address in addresses.items():
            self.console.print(Text.assemble((f"  {name:<9} ", "bold"), address), soft_wrap=True)

    def failed(self, failure: Failure) -> None:
        """Why there is no summary, and what the program in question last wrote."""
        self.console.print(Text.assemble(("\n✗ ", "bold red"), str(failure)), soft_wrap=True)
        if failure.tail:
            self.console.print(Text(failure.tail, "dim"), soft_wrap=True)

    def done(self, what: str, detail: str) -> None:
        """A step that was made, and when."""
        elapsed = time.monotonic() - self._started
        self.console.print(
            Text.assemble(("✓ ", "green"), f"{what:<11} {detail}", (f"  {elapsed:.1f} s", "dim")),
            soft_wrap=True,
        )

    @contextmanager
    def progress(self, totals: Mapping[str, int]) -> Iterator[Advance]:
        """Shows how far each thing is on the way to its total."""
        if self.console.is_terminal:
            with self._bars(totals) as advance:
                yield advance
        else:
            yield self._lines(totals)

    @contextmanager
    def _bars(self, totals: Mapping[str, int]) -> Iterator[Advance]:
        columns = (
            TextColumn("  {task.description:<11}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            tasks = {name: progress.add_task(name, total=total) for name, total in totals.items()}

            def advance(counts: Mapping[str, int]) -> None:
                for name, count in counts.items():
                    progress.update(tasks[name], completed=count)

            yield advance

    def _lines(self, totals: Mapping[str, int]) -> Advance:
        printed: Mapping[str, int] = {}
        next_line = 0.0

        def advance(counts: Mapping[str, int]) -> None:
            nonlocal printed, next_line
            if counts == printed or (time.monotonic() < next_line and counts != totals):
                return
            printed, next_line = counts, time.monotonic() + PLAIN_SECONDS
            parts = (f"{name} {counts[name]}/{total}" for name, total in totals.items())
            self.console.print(f"  {' · '.join(parts)}", soft_wrap=True)

        return advance
