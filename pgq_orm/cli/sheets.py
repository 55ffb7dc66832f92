"""Sheets: what a command shows, as a table for people or as JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

WIDTH_OF_A_PIPE = 200
"""Columns where nobody has a terminal to tell."""
MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and the key of its values."""

    heading: str
    key: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows under a title, by the columns that people are shown; JSON has all keys."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    when_empty: str

    def show(self, as_json: bool = False) -> None:
        """Prints it."""
        if as_json:
            typer.echo(json.dumps(list(self.rows), indent=2, default=_jsonable, ensure_ascii=False))
        else:
            console().print(self.table())

    def table(self) -> Table | Text:
        """For the terminal."""
        if not self.rows:
            return Text(self.when_empty)
        table = Table(title=Text(self.title, "bold"), title_justify="left", header_style="bold")
        for column in self.columns:
            table.add_column(column.heading, justify="right" if column.is_number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*(_cell(row[column.key]) for column in self.columns))
        return table


def group(*sheets: Sheet) -> Group:
    """Several, one below the other."""
    return Group(*(part for sheet in sheets for part in (sheet.table(), Text())))


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough for a pipe."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)


def age(seconds: float) -> str:
    """A duration for people, in the largest unit that it fills: `7 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(seconds, 0):.0f} s"


def printable(text: str, but: str = "") -> str:
    """The text without what would command the terminal, such as escapes in a handler's error."""
    return "".join(character if character.isprintable() or character in but else " " for character in text)


def since(instant: datetime) -> float:
    """How many seconds ago that was."""
    return (datetime.now(UTC) - instant).total_seconds()


def _cell(value: object) -> Text:
    return Text(printable(_plain(value)))  # Text, because a handler's error may look like markup


def _plain(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case bool():
            return "yes" if value else ""
        case tuple() | list():
            return ", ".join(map(str, value))
    return str(value)


def _jsonable(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return {"bytes": len(value)}
    return str(value)
