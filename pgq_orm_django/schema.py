"""The schema's steps as a migration operation: Django runs the same statements as every other tool."""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import RunSQL
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from pgq_orm import schema


class SchemaStep(RunSQL):
    """Leads from schema version `since` to version `to`, or back; `state_operations` say the same in models.

    Databases other than PostgreSQL, and those that a router keeps the app out of, are left alone.
    """

    def __init__(self, to: int, since: int, state_operations: Sequence[Operation] = ()) -> None:
        self.to = to
        self.since = since
        super().__init__(
            sql=(*schema.up(to=to, since=since),),
            reverse_sql=(*schema.down(to=since, since=to),),
            state_operations=state_operations,
        )

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"pgq-orm schema, version {self.since} to {self.to}"

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        arguments = {"to": self.to, "since": self.since, "state_operations": self.state_operations}
        return type(self).__qualname__, [], arguments
