"""Functions: jobs that name a function to be called, and the modules from which a worker lets itself be told so."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Self

from pgq_orm import enqueueing
from pgq_orm.errors import FunctionNotAllowedError, InvalidJobError, RegistrationError
from pgq_orm.models import Job
from pgq_orm.steps import Steps

ENTRYPOINT = "pgq.function"
"""The entrypoint of all jobs that name a function: `arguments` are {"func": "module.function", "kwargs": {…}}."""

Function = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class FunctionJob:
    """A call to be enqueued by `push`: a function by its importable path, and its keyword arguments.

    Chancy's `Job`. Raises InvalidJobError for what names no function.
    """

    func: str
    """`package.module.function`. Only a worker that allows functions of this module will call it."""
    kwargs: Mapping[str, Any] | None = field(default_factory=dict)
    """Must be JSON."""
    priority: int = 0
    max_attempts: int | None = 1
    """How many attempts may end badly; None leaves it to the worker."""
    scheduled_at: datetime | None = None
    """When it is due; None for at once."""
    unique_key: str | None = None
    """At most one job with this key is to be done at a time: another is left out."""

    def __post_init__(self) -> None:
        split(self.func)
        if self.kwargs is not None and not _are_kwargs(self.kwargs):
            raise InvalidJobError(f"kwargs must be a mapping with string keys, or None, not {self.kwargs!r}")

    @classmethod
    def from_func(cls, func: Function, **options: Any) -> Self:
        """A call of a function at the top of a module."""
        return cls(func=f"{func.__module__}.{func.__qualname__}", **options)


def push(queue: str, job: FunctionJob | Iterable[FunctionJob]) -> Steps[list[int | None]]:
    """Enqueues calls of functions; answers their jobs' ids, None for one whose `unique_key` is in use.

    Like `enqueue`, it is part of the caller's transaction. Nothing is imported, and whether some worker allows the
    functions is not known here: it refuses them when it runs them. Raises InvalidJobError.
    """
    jobs = [job] if isinstance(job, FunctionJob) else list(job)
    if wrong := [each for each in jobs if not isinstance(each, FunctionJob)]:
        raise InvalidJobError(f"expected a FunctionJob, not {wrong[0]!r}")
    return enqueueing.enqueue(
        [ENTRYPOINT] * len(jobs),
        priority=[each.priority for each in jobs],
        execute_after=[each.scheduled_at for each in jobs],
        dedupe_key=[each.unique_key for each in jobs],
        arguments=[{"func": each.func, "kwargs": dict(each.kwargs or {})} for each in jobs],
        queue=[queue] * len(jobs),
        max_attempts=[each.max_attempts for each in jobs],
        on_conflict="skip",
    )


class AllowedModules:
    """The modules whose functions jobs may name: `shop.jobs`, or `shop.jobs.*` for all modules below it.

    Raises RegistrationError for anything else.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = tuple(dict.fromkeys(names))
        for name in self.names:
            if not isinstance(name, str) or not _is_path(name.removesuffix(".*")):
                raise RegistrationError(
                    f"{name!r} is no module: expected 'package.module', or 'package.*' for all modules below it"
                )

    def __or__(self, other: "AllowedModules") -> "AllowedModules":
        return AllowedModules((*self.names, *other.names))

    def require(self, func: str) -> None:
        """Refuses a function of any other module, without importing anything.

        Raises FunctionNotAllowedError, and InvalidJobError for what names no function.
        """
        module, name = split(func)
        if not any(_covers(allowed, module) for allowed in self.names):
            raise FunctionNotAllowedError(
                func,
                f"module {module!r} is not among those that jobs may name functions of "
                f"({', '.join(map(repr, self.names)) or 'none'}); allow_functions({module!r}) adds it",
            )
        if name.startswith("_"):
            raise FunctionNotAllowedError(func, "its name says that it is private")

    def find(self, func: str) -> Function:
        """The function, imported. Blocks while its module is imported for the first time.

        Raises FunctionNotAllowedError, and whatever the import raises.
        """
        self.require(func)
        return find(func)


def find(func: str) -> Function:
    """A function that is defined in the module named: not one that the module has from elsewhere, nor a class.

    Raises FunctionNotAllowedError.
    """
    module_name, name = split(func)
    module = import_module(module_name)
    found = getattr(module, name, None)
    if found is None:
        close = get_close_matches(name, vars(module), n=1)
        raise FunctionNotAllowedError(
            func, f"the module has no {name!r}" + (f", did you mean {close[0]!r}?" if close else "")
        )
    if not callable(found) or isinstance(found, type):
        raise FunctionNotAllowedError(func, f"it is no function but {found!r}")
    if (origin := getattr(found, "__module__", None)) != module_name:
        # `from subprocess import run` in an allowed module must not allow that
        raise FunctionNotAllowedError(func, f"it is not defined in that module but in {origin!r}")
    function: Function = found
    return function


def called_by(job: Job) -> tuple[str, dict[str, Any]]:
    """The path of the function that a job names, and the keyword arguments. Raises InvalidJobError."""
    func, kwargs = job.arguments.get("func"), job.arguments.get("kwargs") or {}
    if not isinstance(kwargs, dict):
        raise InvalidJobError(f"kwargs must be an object, not {kwargs!r}")
    split(func)
    return str(func), kwargs


def call(job: Job) -> Any:
    """The handler of jobs that name a function, in a thread, or in a process of their own."""
    func, kwargs = called_by(job)
    return find(func)(**kwargs)


async def call_async(job: Job) -> Any:
    """The handler of jobs that name an `async def`."""
    func, kwargs = called_by(job)
    return await find(func)(**kwargs)


def split(func: object) -> tuple[str, str]:
    """The module and the name of a function. Raises InvalidJobError for what has none of them."""
    if not isinstance(func, str) or not _is_path(func) or "." not in func:
        raise InvalidJobError(f"func must name a function, as in 'package.module.function', not {func!r}")
    module, _, name = func.rpartition(".")
    return module, name


def _are_kwargs(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_path(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


def _covers(allowed: str, module: str) -> bool:
    return module.startswith(allowed[:-1]) if allowed.endswith(".*") else module == allowed
