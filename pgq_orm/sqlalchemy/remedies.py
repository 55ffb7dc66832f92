"""Remedies: the commands that bring the schema into shape in an application with SQLAlchemy."""

from pgq_orm.schema import Remedies

REMEDIES = Remedies(
    install="`alembic upgrade heads`, or `pgq install` if the application does not use Alembic",
    upgrade="`alembic upgrade heads`, with a revision that calls pgq-orm's `upgrade(op, to=…)`, "
    "or `pgq upgrade` if the application does not use Alembic",
    remove="`alembic downgrade`, or `pgq uninstall` if the application does not use Alembic",
)
