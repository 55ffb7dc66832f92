"""Columns: how the schema's types and defaults look from Python."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    Text,
    TypeDecorator,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import mapped_column

from pgq_orm.statuses import JobStatus, LogStatus
from pgq_orm.storable import YEARS

W = TypeVar("W", bound=StrEnum)


class Word(TypeDecorator[W], Generic[W]):
    """A text column that holds the words of a StrEnum; any other word is refused before it is sent."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[W]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> W | None:
        return None if value is None else self.words(value)


# none_as_null: None means that there is no value, never the JSON value `null`
JsonDocument = JSONB(none_as_null=True)

COLUMN_TYPES: dict[Any, Any] = {
    bytes: LargeBinary,
    datetime: DateTime(timezone=True),
    dict[str, Any]: JsonDocument,
    float: Double,
    int: Integer,
    list[str]: ARRAY(Text),
    str: Text,
    timedelta: Interval,
    JobStatus: Word(JobStatus),
    LogStatus: Word(LogStatus),
    UUID: Uuid,
}

BigInt = Annotated[int, mapped_column(BigInteger)]
Id = Annotated[int, mapped_column(BigInteger, Identity(always=False), primary_key=True)]
Created = Annotated[datetime, mapped_column(server_default=func.now())]
Updated = Annotated[datetime, mapped_column(server_default=func.now(), onupdate=func.now())]


def one_of(column: str, words: type[StrEnum] | tuple[str, ...]) -> str:
    """The condition that a text column holds one of the words."""
    quoted = ", ".join(f"'{word}'" for word in words)
    return f"{column} IN ({quoted})"


def within_years(column: str) -> str:
    """The condition that an instant can be stored: that every driver can read it."""
    first, end = (f"'{year}-01-01 00:00:00+00'" for year in (YEARS.start, YEARS.stop))
    return f"{column} >= {first} AND {column} < {end}"
