"""Operation: a wish of a database as a value. No I/O and no clock in here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from pgq_orm.sql import Statement

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One statement to be executed, and how to read what it answers."""

    statement: Statement
    params: Mapping[str, Any]
    read: Callable[[Sequence[Row]], T]


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """The rows as parameters: an array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


def array_literal(form: str, column: Sequence[float | str]) -> str:
    """The column as PostgreSQL writes an array, each value in this form of Python's `%`; for what needs no quotes."""
    return f"{{{','.join([form] * len(column)) % tuple(column)}}}"


def none_if_empty(column: list[Any]) -> list[Any] | None:
    """The column, or None if there is nothing in it: `unnest` fills up with NULL, and nothing is sent."""
    return column if any(value is not None for value in column) else None


def read_nothing(rows: Sequence[Row]) -> None:
    """For a statement that has nothing to say."""
    return


def read_scalar(rows: Sequence[Row]) -> Any:
    """The one value of the one row."""
    return rows[0][0]


def read_ids(rows: Sequence[Row]) -> set[int]:
    """The ids of which each row has one."""
    return {row[0] for row in rows}


def read_id_set(rows: Sequence[Row]) -> set[int]:
    """The ids of which the one row has an array."""
    return set(rows[0][0])


def read_names(rows: Sequence[Row]) -> list[str]:
    """The names of which each row has one, in the order given."""
    return [row[0] for row in rows]
