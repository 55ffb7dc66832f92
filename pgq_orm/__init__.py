"""pgq-orm: a PostgreSQL job queue and scheduler for applications that already have an ORM."""

from pgq_orm.applications import PgQueuer

__all__ = ["PgQueuer", "__version__"]

__version__ = "0.1.0"
