"""Errands: what is sent to a handler in another process or interpreter, and what comes back."""

import pickle
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn, ParamSpec, Protocol, TypeAlias, runtime_checkable

from pgq_orm.errors import RegistrationError, RemoteError, in_one_line
from pgq_orm.executors.calls import catching_exits
from pgq_orm.handlers import Handler, is_async, read_signature
from pgq_orm.store import Scopes
from pgq_orm.tasks import TaskFunction

P = ParamSpec("P")
CallScope: TypeAlias = Callable[[], AbstractContextManager[object]]


@runtime_checkable
class RemoteScopes(Protocol):
    """The scopes of a binding that has something to do around its handlers in another process, too."""

    @property
    def elsewhere(self) -> CallScope:
        """An importable function. What it gives surrounds each call there, and the import of the handler."""
        ...


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned; None if what it returned cannot be brought here."""

    value: object

    def give(self) -> object:
        """What was returned."""
        return self.value


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised."""

    error: BaseException
    trace: str

    def give(self) -> NoReturn:
        """Raises what was raised, caused by the traceback that it had there."""
        raise self.error from _RemoteTraceback(self.trace)


Answer: TypeAlias = Returned | Raised
"""How a call elsewhere ended."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A handler by its name, so that another process or interpreter finds it, and what surrounds its calls there."""

    module: str
    qualname: str
    takes_subject: bool
    scope: CallScope | None = None

    def find(self) -> Handler:
        """The handler, imported."""
        found: Any = import_module(self.module)
        for name in self.qualname.split("."):
            found = getattr(found, name)
        handler: Handler = found.handler if isinstance(found, TaskFunction) else found
        return handler

    def prepare(self) -> None:
        """Imports the handler."""
        with self._surrounded():
            self.find()

    def perform(self, subject: bytes) -> object:
        """Calls the handler with a pickled job or schedule; gives what it returns, raises what it raises."""
        with self._surrounded():
            handler = self.find()
            return handler(pickle.loads(subject)) if self.takes_subject else handler()

    def _surrounded(self) -> AbstractContextManager[object]:
        return self.scope() if self.scope else nullcontext()


def answer(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bytes:
    """Calls; what it returned, or raised of any kind, as a pickled Answer."""
    try:
        return _pickled(Returned(catching_exits(call, *args, **kwargs)))
    except BaseException as error:
        return _pickled(Raised(error, "".join(traceback.format_exception(error))))


def errand_to(handler: Handler, scopes: Scopes, accepts_context: bool | None = None) -> Errand:
    """The errand that finds the handler. Raises RegistrationError if nobody else could find it, or call it."""
    require_nameable(handler)
    signature = read_signature(handler, scopes, accepts_context)
    if signature.context_parameter or signature.parents_parameter or signature.resources:
        raise RegistrationError(
            f"{_name(handler)} may have one parameter, the job or the schedule: a Context, Parents and the ORM's "
            "sessions stay in the worker's process; open a session in the function"
        )
    scope = scopes.elsewhere if isinstance(scopes, RemoteScopes) else None
    errand = Errand(handler.__module__, handler.__qualname__, signature.takes_subject, scope)
    try:
        found = errand.find()
    except (ImportError, AttributeError) as error:
        raise RegistrationError(f"{_name(handler)} cannot be imported by its name: {error}") from error
    if found is not handler:
        raise RegistrationError(
            f"{_name(handler)} is not what its module has under that name, so another process would call something "
            "else: register the function that the module ends up with, with this decorator above all others"
        )
    return errand


def require_nameable(handler: Handler) -> None:
    """Refuses what cannot be called by name elsewhere, as far as that is known while its module is still imported.

    Raises RegistrationError.
    """
    if is_async(handler):
        raise RegistrationError(
            f"{_name(handler)} is async, and there is no event loop where it would run: make it a plain function "
            "(asyncio.run() in it, if need be), or use EntrypointExecutor"
        )
    qualname = getattr(handler, "__qualname__", "<")
    if "<" in qualname:  # <locals>, <lambda>, or a partial, which has no name at all
        raise RegistrationError(
            f"{_name(handler)} cannot be imported by another process: define it with `def` at the top of a module"
        )


class _RemoteTraceback(Exception):  # noqa: N818 - the traceback where the error was raised, as text
    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _pickled(answered: Answer) -> bytes:
    try:
        pickled = pickle.dumps(answered)
        # An exception may well be pickled, and then not be made again from its arguments.
        pickle.loads(pickled)
    except Exception:
        match answered:
            case Returned():
                return pickle.dumps(Returned(None))  # it would be no JSON either, and so not be kept
            case Raised(error, trace):
                return pickle.dumps(Raised(RemoteError(in_one_line(error)), trace))
    return pickled


def _name(handler: Handler) -> str:
    return f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', repr(handler))}"
