"""Clauses: the queue's statements as SQLAlchemy executes them."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, TextClause

from pgq_orm.sql import Statement

_PYFORMAT = re.compile(r"%\((\w+)\)s")


@cache
def clause(statement: Statement) -> "DriverText":
    """The statement for a session's or a connection's `execute`."""
    return DriverText(statement.text)


class DriverText(TextClause):
    """`text()` that is compiled once for each driver, and from then on sent as it is.

    SQLAlchemy would look it up among what it has compiled, and put its parameters together, at each execution: 10 of
    the 120 µs that an enqueue and its commit take of the client. Hooks hear of it as of any other statement.
    """

    inherit_cache = True

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._spellings: dict[tuple[str, str], tuple[str, list[str] | None]] = {}

    # Only the name of this method is private to SQLAlchemy: were it to go, this would be an ordinary text().
    def _execute_on_connection(
        self,
        connection: Connection,
        distilled_params: Sequence[Mapping[str, Any]],
        execution_options: Mapping[str, Any],
    ) -> CursorResult[Any]:
        if (
            connection.dispatch.before_execute
            or connection.dispatch.after_execute
            or len(distilled_params) != 1
        ):
            # exec_driver_sql would not tell these listeners
            return super()._execute_on_connection(connection, distilled_params, execution_options)
        text, names = self.spelling(connection.dialect)
        params = distilled_params[0]
        return connection.exec_driver_sql(
            text,
            params if names is None else tuple([params[name] for name in names]),
            execution_options,
        )

    def spelling(self, dialect: Dialect) -> tuple[str, list[str] | None]:
        """The text with the driver's parameters, and their names in order if they have but places."""
        key = (dialect.driver, dialect.paramstyle)
        if key not in self._spellings:
            compiled = self.compile(dialect=dialect)
            text = compiled.string
            if dialect.driver == "psycopg":
                # Binary, for it takes psycopg five times as long to write an array as text: a fifth of a bulk enqueue.
                text = _PYFORMAT.sub(r"%(\1)b", text)
            self._spellings[key] = text, compiled.positiontup
        return self._spellings[key]
