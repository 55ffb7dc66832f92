"""pgq-orm: a PostgreSQL job queue and scheduler for applications that already have an ORM."""

from pgq_orm.applications import PgQueuer, QueueManager, SchedulerManager
from pgq_orm.injection import INJECTED
from pgq_orm.registry import Registry
from pgq_orm.tasks import enqueue_many

__all__ = [
    "INJECTED",
    "PgQueuer",
    "QueueManager",
    "Registry",
    "SchedulerManager",
    "__version__",
    "enqueue_many",
]

__version__ = "0.1.0"
