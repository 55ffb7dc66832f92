"""The Django binding: enqueue in the caller's transaction, and declare handlers in `tasks` modules.

Importing this package imports no model, so any module of a project may do it at any time.
"""

from pgq_orm_django.queries import acancel, aenqueue, cancel, enqueue
from pgq_orm_django.registry import entrypoint, schedule

__all__ = ["acancel", "aenqueue", "cancel", "enqueue", "entrypoint", "schedule"]
