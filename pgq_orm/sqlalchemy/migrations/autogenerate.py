"""Autogenerate: has Alembic write the schema's own steps instead of tables one by one.

Tables alone would lack the sequence, the function, the trigger, the storage parameters and the version.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import MigrateOperation, MigrationScript, OpContainer
from alembic.runtime.migration import MigrationContext

from pgq_orm import schema
from pgq_orm.schema import CURRENT_VERSION
from pgq_orm.sqlalchemy.installation import installed_version
from pgq_orm.sqlalchemy.models import metadata
from pgq_orm.sqlalchemy.remedies import REMEDIES


def write_steps(
    context: MigrationContext,
    revision: str | Iterable[str | None] | Iterable[str],
    directives: list[MigrationScript],
) -> None:
    """Let autogenerate bring the schema to this release's version, and back, by `upgrade` and `downgrade`.

    `env.py` gives it to `context.configure(process_revision_directives=write_steps)`, or calls it in a hook.
    Raises SchemaError if the database is at a later version, or has tables that carry none.
    """
    if not context.opts["revision_context"].command_args["autogenerate"]:
        return
    assert context.connection is not None
    found = installed_version(context.connection)
    if found is None or found >= CURRENT_VERSION:
        schema.require_current(found, REMEDIES)
        return
    for script in directives:
        # the last ones are of this database, where an environment migrates more than one
        _leave_out_tables(script.upgrade_ops_list[-1])
        script.upgrade_ops_list[-1].ops.insert(0, Step("upgrade", to=CURRENT_VERSION, since=found))
        _leave_out_tables(script.downgrade_ops_list[-1])
        script.downgrade_ops_list[-1].ops.append(Step("downgrade", to=found, since=CURRENT_VERSION))


@dataclass(eq=False)
class Step(MigrateOperation):
    """A call of `upgrade` or `downgrade`, to be written into a revision."""

    function: str
    to: int
    since: int

    def to_diff_tuple(self) -> tuple[str, int, int]:
        """What `alembic check` prints."""
        return (f"pgq_{self.function}", self.since, self.to)


@renderers.dispatch_for(Step)
def _render(context: AutogenContext, step: Step) -> str:
    context.imports.add("from pgq_orm.sqlalchemy import migrations as pgq")
    op = (context.opts["alembic_module_prefix"] or "op.").removesuffix(".")
    since = "" if abs(step.to - step.since) == 1 else f", since={step.since}"
    return f"pgq.{step.function}({op}, to={step.to}{since})"


def _leave_out_tables(container: OpContainer) -> None:
    container.ops = [op for op in container.ops if getattr(op, "table_name", None) not in metadata.tables]
