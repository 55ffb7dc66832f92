"""System checks: what would otherwise be found out by the first job."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router

from pgq_orm.errors import SchemaError
from pgq_orm_django import conf, versions
from pgq_orm_django.databases import default_alias


@register(Tags.compatibility)
def check_settings(**_: Any) -> list[CheckMessage]:
    """`settings.PGQ` is understood, and its database exists and is PostgreSQL."""
    faults = conf.find_faults(getattr(settings, "PGQ", {}))
    if faults:
        return [Error(f"settings.PGQ: {fault}", id="pgq_orm_django.E001") for fault in faults]
    alias = conf.current().database
    if alias not in connections:
        known = ", ".join(map(repr, connections))
        return [
            Error(
                f"settings.PGQ names the database {alias!r}, which settings.DATABASES does not have",
                hint=f"Known are {known}.",
                id="pgq_orm_django.E002",
            )
        ]
    if connections[alias].vendor != "postgresql":
        return [
            Error(
                f"the queue's database {alias!r} is {connections[alias].display_name}, not PostgreSQL",
                hint="Point settings.PGQ['DATABASE'] at a PostgreSQL database.",
                id="pgq_orm_django.E003",
            )
        ]
    return _check_routing(alias)


def _check_routing(alias: str) -> list[CheckMessage]:
    from pgq_orm_django.models import Job

    routed = router.db_for_read(Job)
    if routed == default_alias():
        return []
    return [
        Warning(
            f"jobs are enqueued into the database {alias!r}, but Job.objects and the admin look into {routed!r}",
            hint="Add 'pgq_orm_django.routers.QueueRouter' to settings.DATABASE_ROUTERS.",
            id="pgq_orm_django.W001",
        )
    ]


@register(Tags.database)
def check_schema(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """The tables are there, in the version that this release works with.

    A warning, because `migrate` runs this check before it makes them.
    """
    from pgq_orm_django.models import Job

    messages: list[CheckMessage] = []
    for alias in databases or ():
        if connections[alias].vendor == "postgresql" and router.allow_migrate_model(alias, Job):
            try:
                versions.require_schema(alias)
            except SchemaError as error:
                messages.append(Warning(f"{alias}: {error}", id="pgq_orm_django.W002"))
    return messages
