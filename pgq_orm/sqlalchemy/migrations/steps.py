"""Steps: what a revision calls to lead the schema from one version to another."""

from typing import Protocol

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Executable

from pgq_orm import schema
from pgq_orm.errors import SchemaError
from pgq_orm.schema import EMPTY
from pgq_orm.sqlalchemy.creation import ddl
from pgq_orm.sqlalchemy.installation import installed_version


class Op(Protocol):
    """What is asked of Alembic's `op`, be it the module or an `Operations` object."""

    def execute(self, sqltext: Executable, /) -> object: ...

    def get_context(self) -> MigrationContext: ...


def upgrade(op: Op, to: int, since: int | None = None) -> None:
    """Lead the schema from version `since`, by default the one before, up to version `to`.

    The first revision of an application that starts with a later release skips the steps between:
    `upgrade(op, to=3, since=0)`.

    Raises SchemaError, before anything is changed, if the database is at another version than `since`.
    """
    since = to - 1 if since is None else since
    statements = schema.up(to, since)
    _require(op, since, to)
    _execute(op, statements)


def downgrade(op: Op, to: int, since: int | None = None) -> None:
    """Lead the schema from version `since`, by default the one after, back down to version `to`.

    Raises SchemaError, before anything is changed, if the database is at another version than `since`.
    """
    since = to + 1 if since is None else since
    statements = schema.down(to, since)
    _require(op, since, to)
    _execute(op, statements)


def _require(op: Op, since: int, to: int) -> None:
    context = op.get_context()
    if context.as_sql or context.connection is None:  # offline: there is no database to ask
        return
    found = installed_version(context.connection)
    if found == since:
        return
    step = f"this revision leads pgq-orm's schema from version {since} to {to}"
    if found == to:
        raise SchemaError(f"{step}, where the database is already: mark it as done with `alembic stamp`")
    state = {None: "tables without a version", EMPTY: "no pgq-orm tables"}.get(found, f"version {found}")
    raise SchemaError(f"{step}, but the database has {state}: `since` must be the version that is there")


def _execute(op: Op, statements: list[str]) -> None:
    for statement in statements:
        op.execute(ddl(statement))
