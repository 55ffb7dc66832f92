"""The Django app. Nothing here touches the database, and no `tasks` module is imported before it is asked for."""

from django.apps import AppConfig


class PgqOrmDjangoConfig(AppConfig):
    """The queue as an app: its models, migrations, checks and admin."""

    name = "pgq_orm_django"
    label = "pgq_orm_django"
    verbose_name = "Job queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from pgq_orm_django import checks  # noqa: F401 - importing registers them
