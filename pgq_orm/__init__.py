"""pgq-orm: a PostgreSQL job queue and scheduler for applications that already have an ORM."""

from pgq_orm.applications import PgQueuer, QueueManager, SchedulerManager

__all__ = ["PgQueuer", "QueueManager", "SchedulerManager", "__version__"]

__version__ = "0.1.0"
