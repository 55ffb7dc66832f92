"""System checks and settings: what is wrong is said before the first job."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import override_settings

from pgq_orm_django import conf


def found(**options: Any) -> dict[str, str]:
    return {
        str(message.id).removeprefix("pgq_orm_django."): f"{message.msg} {message.hint or ''}"
        for message in run_checks(**options)
    }


def test_a_sound_project_has_nothing_to_report() -> None:
    assert found() == {}


def test_the_defaults_hold_without_a_setting() -> None:
    assert conf.current() == conf.Settings(database="default", strict_entrypoints=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"STRICT_ENTRYPOINT": True}, "did you mean 'STRICT_ENTRYPOINTS'?"),
        ({"database": "default"}, "did you mean 'DATABASE'?"),
        ({"COLOUR": "red"}, "unknown key 'COLOUR'"),
        ({"STRICT_ENTRYPOINTS": "no"}, "STRICT_ENTRYPOINTS must be of type bool, found 'no'"),
        ({"DATABASE": None}, "DATABASE must be of type str, found None"),
        (["DATABASE"], "expected a dict"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_explained(given: Any, said: str) -> None:
    with override_settings(PGQ=given):
        assert said in found()["E001"]
        with pytest.raises(ImproperlyConfigured) as caught:
            conf.current()
        assert said in str(caught.value)


def test_the_page_has_every_key_with_its_type_and_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| `([A-Z_]+)` \| `(.*?)` \| `(.*?)` \| \S", page, re.MULTILINE)
    assert said == [
        (field.name.upper(), field.type.__name__, repr(field.default)) for field in fields(conf.Settings)
    ]


def test_all_faults_are_told_at_once() -> None:
    with override_settings(PGQ={"DATABASES": "default", "STRICT_ENTRYPOINTS": 1}):
        with pytest.raises(ImproperlyConfigured) as caught:
            conf.current()
        assert "DATABASES" in str(caught.value)
        assert "STRICT_ENTRYPOINTS" in str(caught.value)


def test_a_database_that_does_not_exist() -> None:
    with override_settings(PGQ={"DATABASE": "queue"}):
        assert "'default', 'other', 'foreign'" in found()["E002"]


def test_a_database_that_is_no_postgresql() -> None:
    with override_settings(PGQ={"DATABASE": "foreign"}):
        assert "SQLite" in found()["E003"]


def test_models_that_are_looked_for_elsewhere_than_the_queue() -> None:
    with override_settings(PGQ={"DATABASE": "other"}):
        assert "QueueRouter" in found()["W001"]
        with override_settings(DATABASE_ROUTERS=["pgq_orm_django.routers.QueueRouter"]):
            assert found() == {}


@pytest.mark.usefixtures("bare_db")
def test_missing_tables_print_the_command() -> None:
    said = found(databases=["other"])["W002"]
    assert "no pgq-orm tables" in said
    assert "`python manage.py migrate pgq_orm_django --database=other`" in said


@pytest.mark.usefixtures("db")
def test_current_tables_are_fine() -> None:
    assert found(databases=["default"]) == {}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("version", "remedy"),
    [(0, "python manage.py migrate pgq_orm_django`"), (99, "pip install -U pgq-orm")],
)
def test_tables_of_another_version_print_the_command(version: int, remedy: str) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE pgq_version SET version = %s", [version])
    assert remedy in found(databases=["default"])["W002"]
