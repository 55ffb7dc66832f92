"""The project of these tests: the queue's app among others, on the databases that the fixtures fill in."""

import json
import os
from importlib.util import find_spec

import django

ADDRESSES = json.loads(os.environ.get("PGQ_TEST_DATABASES", "{}"))
NOWHERE = {"ENGINE": "django.db.backends.postgresql", "NAME": "no_such_database"}

DATABASES = {
    "default": NOWHERE | ADDRESSES.get("default", {}),
    "other": NOWHERE | ADDRESSES.get("other", {}),
    "foreign": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "pgq_orm_django",
    "tests.django_app.shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "tests.django_app.urls"
STATIC_URL = "static/"
SECRET_KEY = "of no use outside the tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
PGQ: dict[str, object] = {}

if django.VERSION >= (6, 0) or find_spec("django_tasks"):
    BACKEND = "pgq_orm_django.backend.QueueBackend"
    TASKS = {
        "default": {"BACKEND": BACKEND},
        "patient": {"BACKEND": BACKEND, "QUEUES": ["slow"], "OPTIONS": {"MAX_ATTEMPTS": 2}},
        "exact": {"BACKEND": BACKEND, "OPTIONS": {"TRANSACTIONAL": True}},
    }
