"""Project: the Django project of the tests, pointed at a database of this suite."""

import os

import django
from django.db import connections

from tests.databases import django_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_app.settings")
django.setup()

ALIAS = "default"


def point(dsn: str) -> str:
    """Lets the project's default database be this one; answers its alias."""
    connections.settings[ALIAS].update(django_database(dsn))
    return ALIAS
