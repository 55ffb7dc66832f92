"""Expectations: what a test says of the jobs that are enqueued, and what it is told if they are others."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, TypeAlias, TypedDict, cast

from pgq_orm import operations
from pgq_orm.errors import UnknownEntrypointError
from pgq_orm.models import Job
from pgq_orm.registry import Registry
from pgq_orm.steps import Steps, ask
from pgq_orm.tasks import CallOptions, TaskCall, TaskFunction

Target: TypeAlias = str | Callable[..., Any] | TaskFunction[..., Any] | TaskCall
"""What a job is of: a task, a task's call with its arguments and options, an entrypoint's function, or its name."""

__unittest = True
"""By which unittest leaves our frames out of a failed assertion's traceback; pytest has `__tracebackhide__`."""

LOOKED_AT = 10_000
"""How many jobs are looked at, the first ones."""
SHOWN = 5
"""How many jobs an error shows."""
SHOWN_CHARACTERS = 200
_MISSING = object()


class Expected(TypedDict, total=False):
    """What else may be said of an enqueued job; what is not said may be anything."""

    arguments: Mapping[str, Any]
    """Those that are named; the job may have others."""
    headers: Mapping[str, Any]
    """Those that are named; the job may have others."""
    payload: bytes | None
    queue: str
    priority: int
    dedupe_key: str | None
    max_attempts: int | None
    concurrency_key: str | None
    execute_after: timedelta | datetime
    """From the time of enqueueing, or an instant."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something about a job that is not as expected."""

    place: str
    found: object
    expected: object

    def __str__(self) -> str:
        found = "missing" if self.found is _MISSING else _shown(self.found)
        return f"{self.place} is {found}, expected {_shown(self.expected)}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """An entrypoint, or any, and what is expected of a job."""

    entrypoint: str | None
    fields: Expected

    def differences(self, job: Job) -> list[Difference]:
        """Where a job of this entrypoint is not as expected."""
        return [
            difference for name, value in self.fields.items() for difference in _compared(name, value, job)
        ]

    def counted(self, count: int) -> str:
        """So many jobs as expected, in words."""
        jobs = {0: "no job", 1: "1 job"}.get(count, f"{count} jobs")
        of = "" if self.entrypoint is None else f" of {self.entrypoint!r}"
        said = ", ".join(f"{name}={_shown(value)}" for name, value in self.fields.items())
        return f"{jobs}{of}{f' with {said}' if said else ''} {'is' if count < 2 else 'are'} enqueued"


def expect(target: Target | None, fields: Expected, registry: Registry | None) -> Expectation:
    """What is expected; a call brings its arguments and options along, and `registry` knows functions and names.

    Raises TypeError for an unknown field and for a function that the registry does not have, UnknownEntrypointError for
    a name that it does not have.
    """
    if unknown := fields.keys() - Expected.__annotations__.keys():
        known = ", ".join(Expected.__annotations__)
        raise TypeError(f"nothing is known of a job's {', '.join(sorted(unknown))}; there are: {known}")
    match target:
        case TaskCall(entrypoint, arguments, options):
            said: Any = {"arguments": arguments, **_columns_of(options), **fields}
            if said.get("execute_after") is None:
                said.pop("execute_after", None)
            return Expectation(entrypoint, cast(Expected, said))
        case TaskFunction():
            return Expectation(target.name, fields)
        case str() if registry is not None and target not in registry.entrypoints:
            raise UnknownEntrypointError(
                target,
                registry.entrypoints,
                "import the module that registers its handler, or, if another program handles it, say handlers=None",
            )
        case str() | None:
            return Expectation(target, fields)
    if callable(target):
        return Expectation(_name_of(target, registry), fields)
    raise TypeError(f"expected a task, a call of one, an entrypoint's function or its name, not {target!r}")


def _name_of(function: Callable[..., Any], registry: Registry | None) -> str:
    if registry is None:
        raise TypeError(f"which entrypoint {function!r} handles is for your registry to say: handlers=…")
    match registry.names_of(function):
        case [name]:
            return name
        case []:
            raise TypeError(f"{function!r} is no task, and handles no entrypoint of these handlers")
        case names:
            raise TypeError(
                f"{function!r} handles several entrypoints, say which: {', '.join(map(repr, names))}"
            )


@dataclass(frozen=True, slots=True)
class Finding:
    """The jobs that are as expected; or what is wrong."""

    jobs: list[Job]
    complaint: str | None = None

    def give(self) -> list[Job]:
        """The jobs. Raises AssertionError."""
        # Here and not where it is found, so that a test's traceback ends in the test.
        __tracebackhide__ = True
        if self.complaint is not None:
            raise AssertionError(self.complaint)
        return self.jobs


def _columns_of(options: CallOptions) -> dict[str, Any]:
    """The options that a job's row shows; what it depends on is elsewhere."""
    return {name: value for name, value in options.items() if name in Expected.__annotations__}


def enqueued(expectation: Expectation, count: int | None) -> Steps[Finding]:
    """The jobs that are as expected; wrong is if there is none, or another number than `count`."""
    jobs = yield from ask(operations.list_jobs(None, LOOKED_AT))
    found, others = _sorted(expectation, jobs)
    if len(found) == count or (count is None and found):
        return Finding(found)
    complaint = expectation.counted(len(found))
    if count is not None:
        complaint += f", expected {count}"
    lines = [complaint, *_listed(found), *_nearest(expectation, others), *_rest(expectation, jobs)]
    return Finding(found, "\n".join(lines))


def not_enqueued(expectation: Expectation) -> Steps[Finding]:
    """No jobs; wrong is if there is one that is as expected."""
    jobs = yield from ask(operations.list_jobs(None, LOOKED_AT))
    found, _ = _sorted(expectation, jobs)
    if not found:
        return Finding([])
    complaint = f"{expectation.counted(len(found))}, expected none"
    return Finding(found, "\n".join([complaint, *_listed(found)]))


def _sorted(expectation: Expectation, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """The jobs that are as expected, and the others of the entrypoint."""
    found: list[Job] = []
    others: list[Job] = []
    for job in jobs:
        if expectation.entrypoint in (None, job.entrypoint):
            (others if expectation.differences(job) else found).append(job)
    return found, others


def _compared(name: str, expected: Any, job: Job) -> Iterator[Difference]:
    found = getattr(job, name)
    if name in ("arguments", "headers"):
        for key, value in expected.items():
            if (there := (found or {}).get(key, _MISSING)) is _MISSING or value != there:
                yield Difference(f"{name}[{key!r}]", there, value)
        return
    if isinstance(expected, timedelta):
        found = found - job.created
    if expected != found:
        yield Difference(name, found, expected)


def _nearest(expectation: Expectation, others: Sequence[Job]) -> Iterator[str]:
    """The job that differs least, and in what."""
    if others:
        job = min(others, key=lambda job: len(expectation.differences(job)))
        yield f"the nearest is job {job.id}, where"
        for difference in expectation.differences(job):
            yield f"  {difference}"
        if len(others) > 1:
            yield f"and {len(others) - 1} more of {job.entrypoint!r}"


def _listed(jobs: Sequence[Job]) -> Iterator[str]:
    for job in jobs[:SHOWN]:
        given = _shown(dict(job.arguments)) if job.payload is None else f"payload {_shown(job.payload)}"
        yield f"  job {job.id}: {job.entrypoint!r} with {given}"
    if len(jobs) > SHOWN:
        yield f"  and {len(jobs) - SHOWN} more"


def _rest(expectation: Expectation, jobs: Sequence[Job]) -> Iterator[str]:
    counts = Counter(job.entrypoint for job in jobs)
    if not counts:
        yield "nothing is enqueued, as far as this transaction sees"
        return
    wanted = expectation.entrypoint
    if wanted is not None and wanted not in counts and (close := get_close_matches(wanted, counts, n=1)):
        yield f"did you mean {close[0]!r}?"
    yield "enqueued are: " + ", ".join(f"{name!r} ({count})" for name, count in sorted(counts.items()))


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…"
