"""Handlers: how a function is called with what its parameters ask for."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgq_orm.errors import RegistrationError
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.parents import Parents
from pgq_orm.store import Scopes

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler's parameters ask for: the job or schedule first, then by annotation."""

    takes_subject: bool
    """Whether there is a first parameter for the job or the schedule."""
    context_parameter: str | None
    resources: Mapping[str, object]
    """The annotations of the parameters that the binding fills, by parameter name."""
    parents_parameter: str | None = None

    async def parents(self, context: Context) -> dict[str, Parents]:
        """The parents of the job, if the handler asks for them, by parameter name."""
        return {self.parents_parameter: await context.parents()} if self.parents_parameter else {}

    def arguments(self, subject: Job | Schedule, context: Context) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of a call, without the binding's part."""
        positional = (subject,) if self.takes_subject else ()
        return positional, {self.context_parameter: context} if self.context_parameter else {}


def is_async(handler: Handler) -> bool:
    """Whether calling the handler gives a coroutine: an `async def`, or an object with an async `__call__`."""
    while hasattr(handler, "func") and not inspect.isfunction(handler):
        handler = handler.func  # functools.partial
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - callable() does not tell what the call gives
    )


def read_signature(handler: Handler, scopes: Scopes, accepts_context: bool | None = None) -> Signature:
    """Reads what a handler asks for. Raises RegistrationError if a parameter cannot be filled.

    The Context is for a parameter with that annotation; `accepts_context` False gives it to none, True to the second
    parameter if none has the annotation.
    """
    takes_subject = False
    context_parameter: str | None = None
    parents_parameter: str | None = None
    resources: dict[str, object] = {}
    for index, parameter in enumerate(_parameters(handler)):
        if parameter.annotation is Context and accepts_context is not False:
            context_parameter = parameter.name
        elif parameter.annotation is Parents:
            parents_parameter = parameter.name
        elif parameter.annotation is not inspect.Parameter.empty and scopes.claims(parameter.annotation):
            resources[parameter.name] = parameter.annotation
        elif index == 0:
            takes_subject = True
        elif accepts_context and index == 1:
            context_parameter = parameter.name
        elif parameter.default is inspect.Parameter.empty:
            raise RegistrationError(
                f"{_name(handler)}() has a parameter that nothing fills: {parameter}; the first one is given the "
                "job or the schedule, the others are found by annotation: Context, Parents, or a session of the ORM in "
                "use"
            )
    if accepts_context and context_parameter is None:
        raise RegistrationError(
            f"{_name(handler)}() has no parameter for the Context that accepts_context=True promises it: "
            "add a second one"
        )
    return Signature(takes_subject, context_parameter, resources, parents_parameter)


def _parameters(handler: Handler) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{handler!r} cannot be a handler: {error}") from error
    return [
        parameter.replace(annotation=evaluated_annotation(parameter.annotation, handler))
        for parameter in signature.parameters.values()
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]


def evaluated_annotation(annotation: object, handler: Handler) -> object:
    """What an annotation stands for; it stays text if that exists for type checkers only."""
    # One by one, not with eval_str=True: a name that only type checkers know must not hide the other parameters.
    if not isinstance(annotation, str):
        return annotation
    try:
        evaluated: object = eval(annotation, _namespace(handler))
    except NameError:
        return annotation
    return evaluated


def _namespace(handler: Handler) -> dict[str, Any]:
    while isinstance(handler, functools.partial):
        handler = handler.func
    function = inspect.unwrap(handler)
    return getattr(function, "__globals__", None) or getattr(function.__call__, "__globals__", {})


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", repr(handler))
