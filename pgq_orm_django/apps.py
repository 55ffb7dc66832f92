"""The Django app. Nothing here touches the database, and no `tasks` module is imported before it is asked for."""

from contextlib import suppress

from django.apps import AppConfig
from django.conf import settings


class PgqOrmDjangoConfig(AppConfig):
    """The queue as an app: its models, migrations, checks and admin."""

    name = "pgq_orm_django"
    label = "pgq_orm_django"
    verbose_name = "Job queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from pgq_orm_django import checks  # noqa: F401 - importing registers them

        if getattr(settings, "TASKS", {}):
            # The framework's check of its backends is registered by its import, and whatever else imports it (views,
            # tasks) is imported by the checks themselves: too late.
            with suppress(ImportError):  # Django 5.2 without the package, which is for the backend to tell
                from pgq_orm_django import framework  # noqa: F401
