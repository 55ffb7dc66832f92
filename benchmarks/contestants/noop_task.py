"""Noop task: a module of its own, because Django finds tasks by their module's name."""

from collections.abc import Callable

try:
    from django.tasks import task  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from django_tasks import task  # type: ignore[import-not-found,no-redef,unused-ignore]

on_run: list[Callable[[int], None]] = []


@task
def noop(number: int) -> None:
    for call in on_run:
        call(number)
