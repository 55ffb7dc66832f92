"""Installation: which version of the schema a database has, and its change where no migration tool makes it.

Everything here runs in the caller's transaction, and nothing that is asked can abort it.
"""

from functools import partial

from sqlalchemy import Connection, text

from pgq_orm import schema, steps
from pgq_orm.schema import CURRENT_VERSION, EMPTY
from pgq_orm.sqlalchemy.creation import ddl
from pgq_orm.sqlalchemy.remedies import REMEDIES
from pgq_orm.sqlalchemy.session import run
from pgq_orm.steps import carry_out

_INSTALLER_LOCK = int.from_bytes(b"pgq_orm", "big")
_LONGEST_WAIT_FOR_A_LOCK = "10s"


def installed_version(connection: Connection) -> int | None:
    """The version of the schema: EMPTY without tables, None for tables that carry no version."""
    return carry_out(steps.installed_version(), partial(run, connection))


def require_schema(connection: Connection) -> None:
    """Make sure that the database has the version that this release works with.

    In asyncio: `await connection.run_sync(require_schema)`.
    Raises SchemaError, which names the command to run.
    """
    schema.require_current(installed_version(connection), REMEDIES)


def install(connection: Connection) -> bool:
    """Install the current version; False if it is there already.

    Raises SchemaError for any other version.
    """
    _keep_others_out(connection)
    found = installed_version(connection)
    if found != EMPTY:
        schema.require_current(found, REMEDIES)
        return False
    _execute(connection, schema.up())
    return True


def upgrade(connection: Connection) -> bool:
    """Bring an older version up to the current one; False if it is that already.

    Raises SchemaError if there is nothing that could be upgraded.
    """
    _keep_others_out(connection)
    found = installed_version(connection)
    if not found or found >= CURRENT_VERSION:
        schema.require_current(found, REMEDIES)
        return False
    _execute(connection, schema.up(since=found))
    return True


def uninstall(connection: Connection) -> bool:
    """Drop the tables with all their rows, versioned or not; False if there are none.

    Raises SchemaError for a newer version, which has parts that this release does not know.
    """
    _keep_others_out(connection)
    found = installed_version(connection)
    if found == EMPTY:
        return False
    if found is not None and found > CURRENT_VERSION:
        schema.require_current(found, REMEDIES)
    _execute(connection, schema.down(since=CURRENT_VERSION if found is None else found))
    return True


def _keep_others_out(connection: Connection) -> None:
    """Let one installer work at a time; and wait for no lock so long that the application piles up behind."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LONGEST_WAIT_FOR_A_LOCK}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _INSTALLER_LOCK})


def _execute(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(ddl(statement))
