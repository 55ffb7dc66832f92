"""Routers: for projects that keep the queue in a database of its own."""

from typing import Any

from django.db.models import Model

from pgq_orm_django import conf

APP_LABEL = "pgq_orm_django"


class QueueRouter:
    """Sends this app's models, and its tables' migration, to `PGQ["DATABASE"]` and nowhere else.

    A job joins the caller's transaction only in the database where that transaction is; so most projects want the
    queue in the database of their own tables, and no router.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return conf.current().database if model._meta.app_label == APP_LABEL else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return self.db_for_read(model)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == conf.current().database if app_label == APP_LABEL else None
