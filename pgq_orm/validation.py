"""Validation: JSON objects of a known shape, checked and converted by pydantic. Imported by whoever has a task."""

from collections.abc import Mapping
from inspect import Parameter
from typing import Any, NotRequired

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, to_jsonable_python
from typing_extensions import TypedDict

from pgq_orm.errors import RegistrationError
from pgq_orm.outcomes import HandlerVerdict

SHOWN_CHARACTERS = 80


class JsonShape:
    """Values by name, each with its annotation and whether it must be there; no others are allowed.

    Raises RegistrationError for an annotation that is no data, and NameError for one that cannot be found yet.
    """

    def __init__(self, name: str, module: str, fields: Mapping[str, tuple[Any, bool]]) -> None:
        annotations = {key: Any if kind is Parameter.empty else kind for key, (kind, _) in fields.items()}
        for key, kind in annotations.items():
            _require_data(name, key, kind, module)
        self._adapter = _adapter(
            name,
            module,
            {key: kind if fields[key][1] else NotRequired[kind] for key, kind in annotations.items()},
        )

    def dump(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values as JSON. Raises ValueError that says which one does not fit."""
        try:
            checked = self._adapter.validate_python(values)
            # By field names, whatever aliases a model has: those may differ between reading and writing.
            dumped: dict[str, Any] = self._adapter.dump_python(
                checked, mode="json", by_alias=False, round_trip=True, warnings="error"
            )
        except ValidationError as error:
            raise ValueError(_in_words(error)) from None
        except PydanticSerializationError as error:
            raise ValueError(str(error)) from None
        return dumped

    def load(self, text: str) -> dict[str, Any]:
        """The values that JSON stands for. Raises ValueError that says which one does not fit."""
        try:
            return self._adapter.validate_json(text, by_alias=True, by_name=True)
        except ValidationError as error:
            raise ValueError(_in_words(error)) from None


def jsonable(value: object) -> object:
    """What a task returned, in JSON's types as far as that is possible; a verdict stays one."""
    if value is None or isinstance(value, HandlerVerdict):
        return value
    try:
        return to_jsonable_python(value)
    except Exception:  # PydanticSerializationError, or whatever a class of the task's own raises
        return value


def _require_data(name: str, key: str, kind: Any, module: str) -> None:
    try:
        _adapter(name, module, {key: kind})
    except PydanticSchemaGenerationError:
        shown = kind.__qualname__ if isinstance(kind, type) else repr(kind)
        raise RegistrationError(
            f"task {name}() has the parameter {key!r} of {shown}, which is no data that JSON could carry: if the "
            f"worker is to fill it, write `{key}: {shown} = INJECTED` (from pgq_orm import INJECTED)"
        ) from None


def _adapter(name: str, module: str, annotations: dict[str, Any]) -> TypeAdapter[dict[str, Any]]:
    # Not a model: its fields may not be called "json", "copy" or "model_…", and a function's parameters may.
    make: Any = TypedDict
    shape = make(name, annotations)
    shape.__module__ = module  # where pydantic looks for the names in annotations that are text
    shape.__pydantic_config__ = ConfigDict(extra="forbid")
    adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shape)
    adapter.rebuild(raise_errors=True)  # it would wait in silence for names that are not to be found yet
    return adapter


def _in_words(error: ValidationError) -> str:
    return "; ".join(map(_complaint, error.errors(include_url=False, include_context=False)))


def _complaint(found: ErrorDetails) -> str:
    place = "".join(f"[{step!r}]" if index else str(step) for index, step in enumerate(found["loc"]))
    complaint = f"{place}: {found['msg']}" if place else found["msg"]
    if found["type"] == "missing":
        return complaint
    shown = repr(found["input"])
    if len(shown) > SHOWN_CHARACTERS:
        shown = f"{shown[:SHOWN_CHARACTERS]}…"
    return f"{complaint}, not {shown}"
