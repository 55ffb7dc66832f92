"""Callees: what people are told that a job is."""

from collections.abc import Mapping
from typing import Any

import pytest

from pgq_orm import functions
from pgq_orm.callees import NAMED_BY, title
from pgq_orm.models import Unreadable


@pytest.mark.parametrize(
    ("entrypoint", "arguments", "told"),
    [
        ("mail", {"task": "shop.tasks.add"}, "mail"),
        ("django.tasks", {"task": "shop.tasks.add", "args": []}, "django.tasks shop.tasks.add"),
        (functions.ENTRYPOINT, {"func": "shop.jobs.add"}, "pgq.function shop.jobs.add"),
        ("django.tasks", None, "django.tasks"),
        ("django.tasks", {}, "django.tasks"),
        ("django.tasks", {"task": 7}, "django.tasks"),
        ("django.tasks", Unreadable(ValueError("1e5000")), "django.tasks"),
    ],
)
def test_a_job_is_told_by_the_function_that_it_names(
    entrypoint: str, arguments: Mapping[str, Any] | None, told: str
) -> None:
    assert title(entrypoint, arguments) == told


def test_the_entrypoint_of_functions_is_known() -> None:
    assert functions.ENTRYPOINT in NAMED_BY
