"""Prepared: statements as the server sees them once a driver has prepared them, and the plans it makes for them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from pgq_orm.operations import Operation
from pgq_orm.sql import Statement

PlanMode = Literal["force_custom_plan", "force_generic_plan"]

PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


def parameters(statement: Statement) -> list[str]:
    """The names of the parameters, each once, in the order in which they come."""
    return list(dict.fromkeys(PARAMETER.findall(statement.text)))


def prepare(connection: psycopg.Connection, statement: Statement) -> list[str]:
    """Prepares the statement under its own name; answers the types that the server found for its parameters."""
    numbers = {name: number for number, name in enumerate(parameters(statement), start=1)}
    numbered = PARAMETER.sub(lambda match: f"${numbers[match[1]]}", statement.text)
    connection.execute(f"PREPARE {statement.name} AS {numbered}".encode())
    ((types,),) = connection.execute(
        "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = %s", [statement.name]
    ).fetchall()
    return types


@dataclass(frozen=True, slots=True)
class Plan:
    """What the server did to carry a statement out."""

    nodes: list[Mapping[str, Any]]
    swept: Mapping[str, int]
    """How many rows were read of tables without an index, by the statement, its functions and its triggers."""
    fetched: int
    """How many rows they read by index."""

    @property
    def blocks(self) -> int:
        """How many blocks were touched, in memory or on disk; not those that triggers touched."""
        return self.nodes[0]["Shared Hit Blocks"] + self.nodes[0]["Shared Read Blocks"]

    @property
    def compared(self) -> int:
        """How many pairs of rows joins found not to belong together."""
        return sum(
            int(node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"]) for node in self.nodes
        )

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def sorts(self) -> list[Mapping[str, Any]]:
        return [node for node in self.nodes if "Sort" in node["Node Type"]]


def explain(
    connection: psycopg.Connection, operation: Operation[Any], mode: PlanMode, *, keeps_plan: bool = False
) -> Plan:
    """Carries an operation out and takes it back again; answers how it was done.

    `keeps_plan` goes by the plan that was made when this connection explained the statement first.
    """
    statement = operation.statement
    values = [sql.Literal(operation.params[name]) for name in parameters(statement)]
    execute = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {}").format(
        sql.Identifier(statement.name)
    )
    if values:
        execute += sql.SQL("({})").format(sql.SQL(", ").join(values))
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('plan_cache_mode', %s, true)", [mode])
        if not keeps_plan:
            connection.execute("DEALLOCATE ALL")
        if not _is_prepared(connection, statement):
            prepare(connection, statement)
        before = _rows_read(connection)
        ((explained,),) = connection.execute(execute).fetchall()
        after = _rows_read(connection)
    read = {
        table: (after[table][0] - before[table][0], after[table][1] - before[table][1]) for table in after
    }
    return Plan(
        list(_walk(explained[0]["Plan"])),
        {table: swept for table, (swept, _) in read.items() if swept},
        sum(fetched for _, fetched in read.values()),
    )


def _is_prepared(connection: psycopg.Connection, statement: Statement) -> bool:
    names = connection.execute("SELECT name FROM pg_prepared_statements").fetchall()
    return (statement.name,) in names


def _rows_read(connection: psycopg.Connection) -> dict[str, tuple[int, int]]:
    """How many rows this transaction, and maybe some before, has read of each table, without an index and by one."""
    rows = connection.execute(
        "SELECT relname, seq_tup_read, COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
    ).fetchall()
    return {table: (swept, fetched) for table, swept, fetched in rows}


def _walk(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _walk(child)
