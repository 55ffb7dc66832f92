"""The SQLAlchemy binding: the queue's tables as mapped classes, on a `metadata` of their own."""

from pgq_orm.sqlalchemy.models import Dependency, Job, Log, Queue, Schedule, Version, Worker, metadata
from pgq_orm.sqlalchemy.queries import Queries, SyncQueries

__all__ = [
    "Dependency",
    "Job",
    "Log",
    "Queries",
    "Queue",
    "Schedule",
    "SyncQueries",
    "Version",
    "Worker",
    "metadata",
]
