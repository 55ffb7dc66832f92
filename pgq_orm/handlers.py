"""Handlers: how a function is called with what its parameters ask for."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pgq_orm.bindings import is_of_binding
from pgq_orm.errors import RegistrationError
from pgq_orm.models import Context, Job, Schedule
from pgq_orm.parents import Parents
from pgq_orm.store import Scopes

Handler = Callable[..., Any]

_GIVEN = (Job, Schedule, Context, Parents)


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
        elif _is_claimed(parameter, handler, scopes):
            resources[parameter.name] = parameter.annotation
        elif index == 0:
            _require_subject(parameter, handler)
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


def require_subject(handler: Handler) -> None:
    """Refuses a first parameter that can be given neither the job nor anything of a binding. Raises RegistrationError.

    For where a handler is registered: which binding its worker will have is not known yet.
    """
    for parameter in _parameters(handler)[:1]:
        if not is_of_binding(parameter.annotation):
            _require_subject(parameter, handler)


def _require_subject(parameter: inspect.Parameter, handler: Handler) -> None:
    if _may_be_given(parameter.annotation):
        return
    is_other_job = getattr(parameter.annotation, "__name__", "") == Job.__name__
    raise RegistrationError(
        f"{_name(handler)}() has the parameter {parameter}, but its first one is given the job, a "
        f"{Job.__module__}.{Job.__name__}: "
        + (
            f"import {Job.__name__} from {Job.__module__}"
            if is_other_job
            else "annotate it so, and find what was enqueued in job.arguments; for a function with parameters of its "
            "own write @task in place of @entrypoint"
        )
    )


def _may_be_given(annotation: object) -> bool:
    """Whether the worker has something of that type for a first parameter; nobody knows for what is not a class."""
    kind = get_origin(annotation) or annotation
    if kind is Annotated:
        return _may_be_given(get_args(annotation)[0])
    if kind in (Union, UnionType):
        return any(map(_may_be_given, get_args(annotation)))
    if kind in (inspect.Parameter.empty, Any) or getattr(kind, "_is_protocol", False):
        return True
    # not by issubclass(), which a TypedDict refuses to answer
    return not isinstance(kind, type) or any(kind in given.__mro__ for given in _GIVEN)


def _is_claimed(parameter: inspect.Parameter, handler: Handler, scopes: Scopes) -> bool:
    if parameter.annotation is inspect.Parameter.empty:
        return False
    try:
        return scopes.claims(parameter.annotation, is_async=is_async(handler))
    except RegistrationError as error:
        raise RegistrationError(f"{_name(handler)}() has the parameter {parameter}: {error}") from None


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
