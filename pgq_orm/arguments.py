"""Arguments: what a task's caller passes, as the JSON that a job carries, and as Python values again."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pgq_orm.errors import InvalidJobError, RegistrationError
from pgq_orm.handlers import evaluated_annotation
from pgq_orm.injection import INJECTED
from pgq_orm.outcomes import InvalidArgumentsError
from pgq_orm.storable import dump_json

if TYPE_CHECKING:
    from pgq_orm.validation import JsonShape

_PASSED_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Parameters:
    """The parameters of a task's function: those that its callers fill, and those that the worker fills.

    Raises RegistrationError for one that no JSON could carry.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._name = function.__name__
        signature = inspect.signature(function)
        for parameter in signature.parameters.values():
            if parameter.kind not in _PASSED_BY_NAME:
                raise RegistrationError(
                    f"task {self._name}() has the parameter {parameter}, but arguments are kept by their names: "
                    "declare each one that callers may pass"
                )
        self._signature = signature.replace(return_annotation=inspect.Signature.empty)
        self.injected: Mapping[str, object] = {
            name: evaluated_annotation(parameter.annotation, function)
            for name, parameter in signature.parameters.items()
            if parameter.default is INJECTED
        }
        """The annotations of the parameters that the worker fills, by name."""
        self._check()

    def __contains__(self, name: object) -> bool:
        return name in self._signature.parameters

    @property
    def required(self) -> list[str]:
        """The names of the parameters that a caller must fill."""
        return [name for name, parameter in self._given.items() if _is_required(parameter)]

    def to_json(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call as a JSON object; those that the caller leaves out are left out.

        Raises InvalidJobError unless they are what the function takes, and can be read again.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidJobError(f"{self._name}(): {self._unknown(kwargs) or error}") from None
        if filled := [name for name in bound.arguments if name in self.injected]:
            raise InvalidJobError(
                f"{self._name}() was given {', '.join(filled)}, which the worker fills: leave it out"
            )
        shape = self._require_shape()
        try:
            arguments = shape.dump(dict(bound.arguments))
            shape.load(dump_json(arguments))
        except ValueError as error:
            raise InvalidJobError(
                f"{self._name}() cannot be enqueued with these arguments: {error}"
            ) from None
        return arguments

    def _unknown(self, kwargs: Iterable[str]) -> str | None:
        """What is wrong with the first keyword that is no parameter's; None if each is one's."""
        for name in kwargs:
            if name not in self._signature.parameters:
                known = list(self._given)
                close = get_close_matches(name, known, n=1)
                guess = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'none'}"
                return f"got an unexpected keyword argument {name!r}: {guess}"
        return None

    def from_json(self, arguments: object) -> dict[str, Any]:
        """A job's arguments as the function's annotations have them. Raises InvalidArgumentsError."""
        shape = self._require_shape()
        try:
            return shape.load(dump_json(dict(arguments) if isinstance(arguments, Mapping) else arguments))
        except ValueError as error:
            raise InvalidArgumentsError(
                f"{self._name}() does not take this job's arguments: {error}"
            ) from None

    @property
    def _given(self) -> dict[str, inspect.Parameter]:
        """The parameters that callers fill, by name."""
        return {
            name: parameter
            for name, parameter in self._signature.parameters.items()
            if name not in self.injected
        }

    @cached_property
    def _shape(self) -> "JsonShape":
        try:
            from pgq_orm.validation import JsonShape
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in ("pydantic", "pydantic_core"):
                raise
            raise RegistrationError(
                "tasks check their arguments with pydantic, which is not installed: pip install 'pgq-orm[tasks]'"
            ) from error
        return JsonShape(
            self._name,
            self._function.__module__,
            {
                name: (evaluated_annotation(parameter.annotation, self._function), _is_required(parameter))
                for name, parameter in self._given.items()
            },
        )

    def _require_shape(self) -> "JsonShape":
        try:
            return self._shape
        except NameError as error:
            raise RegistrationError(
                f"an annotation of task {self._name}() cannot be read: {error}; import the name where the function "
                "is, not for type checkers only"
            ) from error

    def _check(self) -> None:
        try:
            self._shape  # noqa: B018 - made now, so that a mistake shows where it is
        except NameError:
            # An annotation names what is defined further down, or imported for type checkers only: made at first use.
            return


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty
