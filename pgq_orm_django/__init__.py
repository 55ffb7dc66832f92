"""The Django binding: enqueue in the caller's transaction, and declare handlers in `tasks` modules.

Importing this package imports no model, so any module of a project may do it at any time.
"""

from pgq_orm_django.queries import acancel, aenqueue, cancel, enqueue
from pgq_orm_django.registry import entrypoint, schedule
from pgq_orm_django.typed_tasks import aenqueue_many, enqueue_many, task

__all__ = [
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "cancel",
    "enqueue",
    "enqueue_many",
    "entrypoint",
    "schedule",
    "task",
]
