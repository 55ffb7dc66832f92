"""The schema's versions: which statements lead from one to another. Every migration tool runs these alone."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pgq_orm.errors import SchemaError, SchemaVersionError

CURRENT_VERSION = 1
"""The version this release works with."""

EMPTY = 0
"""The version of a database that has no pgq-orm tables."""

VERSION_TABLE = "pgq_version"

_IN_THE_MODELS = re.compile(r"(CREATE|ALTER|DROP) (UNIQUE )?(TABLE|INDEX) (?!\w+ SET \()")
_TABLE_WITH_PARAMETERS = re.compile(r"CREATE TABLE (\w+) \(\n.*\n\) WITH \(\n(.*)\n\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Remedies:
    """The commands that bring a schema into shape, as the users of one migration tool type them."""

    install: str
    upgrade: str
    remove: str


def up(to: int = CURRENT_VERSION, since: int = EMPTY) -> list[str]:
    """The statements, in order, that lead from version `since` up to version `to`.

    Raises SchemaVersionError for versions that do not exist or lie in the wrong order.
    """
    _check_range(since, to, lower_name="since", upper_name="to")
    return [
        statement
        for version in range(since + 1, to + 1)
        for statement in _statements(f"v{version:02}_up.sql")
    ]


def down(to: int = EMPTY, since: int = CURRENT_VERSION) -> list[str]:
    """The statements, in order, that lead from version `since` back down to version `to`.

    Raises SchemaVersionError for versions that do not exist or lie in the wrong order.
    """
    _check_range(to, since, lower_name="to", upper_name="since")
    return [
        statement for version in range(since, to, -1) for statement in _statements(f"v{version:02}_down.sql")
    ]


def up_beside_tables() -> list[str]:
    """What is missing, in order, when an ORM has created the current tables and indexes from its models."""
    statements = []
    for statement in up():
        if with_parameters := _TABLE_WITH_PARAMETERS.fullmatch(statement):
            table, parameters = with_parameters.groups()
            statements.append(f"ALTER TABLE {table} SET (\n{parameters}\n)")
        elif not _IN_THE_MODELS.match(statement):
            statements.append(statement)
    return statements


def down_beside_tables() -> list[str]:
    """What is left, in order, when an ORM has dropped the tables of its models."""
    return [statement for statement in down() if statement.startswith(("DROP FUNCTION ", "DROP SEQUENCE "))]


def require_current(found: int | None, remedies: Remedies) -> None:
    """Makes sure that a database has the version that this release works with.

    `found` is the installed version: EMPTY without tables, None for tables that carry no version.
    Raises SchemaError, which names the command to run.
    """
    if found == CURRENT_VERSION:
        return
    if found is None:
        raise SchemaError(
            "the database has pgq-orm's tables, but no version in them: they were not made by pgq-orm's own "
            "statements (a plain autogenerate leaves out the version, and the trigger that wakes workers); "
            f"remove them with {remedies.remove}, then run {remedies.install}"
        )
    if found == EMPTY:
        state, remedy = "no pgq-orm tables", remedies.install
    elif found < CURRENT_VERSION:
        state, remedy = f"pgq-orm's tables in version {found}", remedies.upgrade
    else:
        state, remedy = f"pgq-orm's tables in version {found}", "`pip install -U pgq-orm`"
    raise SchemaError(
        f"the database has {state}, this release works with version {CURRENT_VERSION}: run {remedy}"
    )


def _check_range(lower: int, upper: int, *, lower_name: str, upper_name: str) -> None:
    if not EMPTY <= lower <= upper <= CURRENT_VERSION:
        raise SchemaVersionError(
            f"no such step: {lower_name}={lower}, {upper_name}={upper}; this release of pgq-orm has "
            f"versions {EMPTY} (nothing) to {CURRENT_VERSION}, and {lower_name} must not exceed {upper_name}"
        )


@cache
def _statements(filename: str) -> list[str]:
    """The statements of one file, without comments between them or the closing semicolon."""
    text = files("pgq_orm.sql").joinpath("schema", filename).read_text(encoding="utf-8")
    statements: list[str] = []
    lines: list[str] = []
    in_body = False
    for line in text.splitlines():
        if not lines and (not line.strip() or line.startswith("--")):
            continue
        lines.append(line)
        if line.count("$$") % 2:
            in_body = not in_body
        if line.endswith(";") and not in_body:
            statements.append("\n".join(lines).removesuffix(";"))
            lines = []
    if lines:
        raise SchemaVersionError(f"{filename} ends inside a statement: {lines[0]!r}")
    return statements
