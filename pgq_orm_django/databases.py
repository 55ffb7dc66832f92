"""Databases: which one a call means that names none."""

from django.db import DEFAULT_DB_ALIAS, router

from pgq_orm_django import conf


def default_alias() -> str:
    """The alias that the project's routers give for writing jobs, else `PGQ["DATABASE"]`."""
    from pgq_orm_django.models import Job

    routed = router.db_for_write(Job)
    return conf.current().database if routed == DEFAULT_DB_ALIAS else routed
