"""Sheets: rows under a title, as a command shows them to people and to programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and the key of its values."""

    heading: str
    key: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows under a title, by the columns that people are shown; programs are given all keys."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    when_empty: str

    def cells(self) -> list[list[str]]:
        """What each row says to people, column by column, in one line each."""
        return [[printable(_plain(row[column.key])) for column in self.columns] for row in self.rows]

    def as_text(self) -> str:
        """For people, where there is nothing but text."""
        if not self.rows:
            return self.when_empty
        lines = [[column.heading for column in self.columns], *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join([self.title, *(self._line(cells, widths) for cells in lines)])

    def as_json(self) -> str:
        """For programs."""
        return json.dumps(list(self.rows), indent=2, default=_jsonable, ensure_ascii=False)

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = (
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(cells, widths, self.columns, strict=True)
        )
        return f"  {'  '.join(padded)}".rstrip()


def age(seconds: float) -> str:
    """A duration for people, in the largest unit that it fills: `7 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(seconds, 0):.0f} s"


def since(instant: datetime) -> float:
    """How many seconds ago that was; without a zone, by this process's clock."""
    return (datetime.now(UTC) - instant.astimezone(UTC)).total_seconds()


def printable(text: str, but: str = "") -> str:
    """The text without what would command the terminal, such as escapes in a handler's error."""
    return "".join(character if character.isprintable() or character in but else " " for character in text)


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
