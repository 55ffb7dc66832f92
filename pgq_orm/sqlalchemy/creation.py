"""Creation: `create_all` and `drop_all` also make and remove what no table can express.

The sequence, function, trigger, storage parameters and version row come from the schema's own statements.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import DDL, Connection, MetaData, Table, event

from pgq_orm import schema


def ddl(statement: str) -> DDL:
    """A statement of the schema, to be executed as it stands.

    Unlike `text()`, `DDL` takes no colon for a parameter; and it knows which drivers want `%` doubled.
    """
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]


def complete(metadata: MetaData) -> None:
    """Let `metadata.create_all` and `drop_all` do the whole work whenever they touch the version's table."""
    event.listen(metadata, "after_create", _make_what_is_missing)
    event.listen(metadata, "after_drop", _remove_what_is_left)


def _make_what_is_missing(
    metadata: MetaData, connection: Connection, *, tables: Collection[Table], **_: Any
) -> None:
    _execute(connection, tables, schema.up_beside_tables())


def _remove_what_is_left(
    metadata: MetaData, connection: Connection, *, tables: Collection[Table], **_: Any
) -> None:
    _execute(connection, tables, schema.down_beside_tables())


def _execute(connection: Connection, tables: Collection[Table], statements: list[str]) -> None:
    # create_all leaves out the tables that are there already, drop_all those that are not
    if any(table.name == schema.VERSION_TABLE for table in tables):
        for statement in statements:
            connection.execute(ddl(statement))
