"""Versions: whether a database's tables are the ones that this release works with."""

from functools import partial

from pgq_orm import schema, steps
from pgq_orm.schema import Remedies
from pgq_orm.steps import carry_out
from pgq_orm_django.statements import migrate_command, run


def installed_version(using: str) -> int | None:
    """The version of the schema: EMPTY without tables, None for tables that carry no version."""
    return carry_out(steps.installed_version(), partial(run, using=using))


def require_schema(using: str) -> None:
    """Makes sure that a database has the version that this release works with.

    Raises SchemaError, which names the command to run.
    """
    schema.require_current(installed_version(using), remedies(using))


def remedies(using: str) -> Remedies:
    """The commands of Django that bring a database's schema into shape."""
    migrate = migrate_command(using)
    return Remedies(install=f"`{migrate}`", upgrade=f"`{migrate}`", remove=f"`{migrate} zero`")
