"""Framework calls: by which entrypoint, and under which name, a task of Django's own framework is in the queue."""

from typing import NamedTuple

from django.utils.module_loading import import_string

from pgq_orm_django.registry import discover


class FrameworkCall(NamedTuple):
    """What the jobs of a task have in common."""

    entrypoint: str
    task: str
    """Its module path, which is in their arguments."""


def framework_call(target: object) -> FrameworkCall | None:
    """Of a task or its module path; None for what is neither. Raises TypeError for a task that is not enqueued here."""
    try:
        from pgq_orm_django.backend import QueueBackend
        from pgq_orm_django.framework import Task
    except ImportError:  # Django 5.2 without the package
        return None
    if isinstance(target, str) and target not in discover().entrypoints:
        try:
            target = import_string(target)
        except ImportError:
            return None
    if not isinstance(target, Task):
        return None
    backend = target.get_backend()
    if not isinstance(backend, QueueBackend):
        raise TypeError(
            f"tasks such as {target.module_path} are not enqueued in this queue: the BACKEND of "
            f"settings.TASKS[{target.backend!r}] is {type(backend).__name__} here, not QueueBackend"
        )
    return FrameworkCall(backend.entrypoint_of_tasks(), target.module_path)
