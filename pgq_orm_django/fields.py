"""Column types and relations that the tables need and Django does not have."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor

if TYPE_CHECKING:
    TextArray = models.Field[list[str], list[str]]
    Relation = models.ForeignObject[models.Model | None, models.Model | None]
    Accessor = ForwardManyToOneDescriptor[Any]
else:
    TextArray = models.Field
    Relation = models.ForeignObject
    Accessor = ForwardManyToOneDescriptor


class TransactionNow(models.Func):
    """`now()`, letter for letter as in the schema; Django's Now() is the statement's time."""

    template = "now()"
    output_field = models.DateTimeField()


class TextArrayField(TextArray):
    """A `text[]`.

    Django's own ArrayField would ask every project to install `django.contrib.postgres`.
    """

    description = "Array of text"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "text[]"


class _RowOrNone(Accessor):
    def get_object(self, instance: models.Model) -> Any:
        rows = self.get_queryset(instance=instance)
        return rows.filter(self.field.get_reverse_related_filter(instance)).first()


class Reference(Relation):
    """A relation to the row whose `id` stands in the column `column`; None once that row is gone.

    The database has no foreign key: jobs leave their table when they are done, and their log rows stay. So a join
    keeps the rows whose other side is missing, and deleting either side touches nothing else.
    """

    forward_related_accessor_class = _RowOrNone

    def __init__(self, to: str, column: str, *, related_name: str, **options: Any) -> None:
        super().__init__(
            to,
            on_delete=models.DO_NOTHING,
            from_fields=[column],
            to_fields=["id"],
            related_name=related_name,
            null=True,
            editable=False,
            **options,
        )
        self._column_name = column

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, _, kwargs = super().deconstruct()
        for implied in ("on_delete", "from_fields", "to_fields", "null", "editable"):
            kwargs.pop(implied, None)
        return name, path, [kwargs.pop("to"), self._column_name], kwargs
