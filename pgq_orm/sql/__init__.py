"""Statements: the queue's SQL, one file each, found by name.

Files use `:name` parameters, cast where they are used; psql takes them as they are (`\\set name value`).
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """One named SQL statement, in the two spellings of parameters that drivers and ORMs ask for."""

    name: str
    text: str
    """With `:name` parameters, as SQLAlchemy's `text()` takes it."""
    pyformat: str
    """With `%(name)s` parameters, as psycopg and Django's cursors take it."""


@cache
def statement(name: str) -> Statement:
    """The statement in `<name>.sql`."""
    source = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    text = _COMMENT.sub("", source).strip().removesuffix(";")
    return Statement(name, text, _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%")))


def names() -> list[str]:
    """The names of all statements."""
    return sorted(
        file.name.removesuffix(".sql") for file in files(__name__).iterdir() if file.name.endswith(".sql")
    )
