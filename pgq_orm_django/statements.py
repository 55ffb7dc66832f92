"""Statements: runs the core's operations on Django's connections, inside whatever transaction is open there."""

from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db import ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import UndefinedTable

import pgq_orm.steps
from pgq_orm.errors import SchemaError, SessionError
from pgq_orm.operations import Operation
from pgq_orm.steps import Steps

T = TypeVar("T")


def carry_out(steps: Steps[T], using: str) -> T:
    """Executes one operation after another, each in whatever transaction is open."""
    return pgq_orm.steps.carry_out(steps, partial(run, using=using))


def carry_out_whole(steps: Steps[T], using: str) -> T:
    """Executes all of the operations or none: in the transaction that is open, or in one of their own."""
    connection = connections[using]
    try:
        is_open = connection.in_atomic_block or not connection.get_autocommit()
    except SynchronousOnlyOperation as error:
        raise _naming_the_twin() from error
    # No block within the caller's: an error of ours that left it would doom the caller's transaction.
    with nullcontext() if is_open else transaction.atomic(using):
        return carry_out(steps, using)


def run(operation: Operation[T], using: str) -> T:
    """Executes an operation on this thread's connection to a database.

    Raises SessionError if that is no PostgreSQL, SchemaError if it has not been migrated, and SynchronousOnlyOperation
    where an event loop runs.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        raise SessionError(
            f"the database {using!r} is {connection.display_name}, and jobs need PostgreSQL: pass using= with the "
            "alias of a PostgreSQL database, or set it as PGQ['DATABASE']"
        )
    try:
        return run_on(connection, operation)
    except SynchronousOnlyOperation as error:
        raise _naming_the_twin() from error


def run_on(connection: BaseDatabaseWrapper, operation: Operation[T]) -> T:
    """Executes an operation on a PostgreSQL connection. Raises SchemaError if a table is missing."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(operation.statement.pyformat, operation.params)
        except ProgrammingError as error:
            raise in_our_words(error, connection.alias) from error.__cause__
        return operation.read(cursor.fetchall() if cursor.description else ())


def in_our_words(error: ProgrammingError, using: str) -> Exception:
    """SchemaError for Django's error about a table that is missing; any other as it is."""
    return SchemaError(missing(using)) if isinstance(error.__cause__, UndefinedTable) else error


def _naming_the_twin() -> SynchronousOnlyOperation:
    """Django's refusal to block an event loop, with what there is to be awaited instead."""
    return SynchronousOnlyOperation(
        "this blocks, and was called in async code, where its twin is awaited, whose name has an `a` in front: "
        "`await aenqueue(…)` for enqueue(…). What belongs into one transaction.atomic() goes into a function of "
        "its own, with the blocking calls: `await sync_to_async(function)()`"
    )


def missing(using: str) -> str:
    """The sentence for a database without our tables."""
    return f"the database {using!r} has no pgq-orm tables; create them: {migrate_command(using)}"


def migrate_command(using: str) -> str:
    """The command that brings a database's schema up to date."""
    option = "" if using == "default" else f" --database={using}"
    return f"python manage.py migrate pgq_orm_django{option}"
