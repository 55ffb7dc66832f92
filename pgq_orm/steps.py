"""Steps: what takes one operation after another, written once, and carried out by whoever can run an operation."""

from collections.abc import Awaitable, Callable, Generator
from types import CoroutineType
from typing import Any, Protocol, TypeAlias, TypeVar

from pgq_orm import operations, schema
from pgq_orm.operations import Operation

T = TypeVar("T")

Steps: TypeAlias = Generator[Operation[Any], Any, T]
"""Yields operations, is sent what each answers, and returns the answer to the whole."""


class Caller(Protocol):
    """Carries steps out at once."""

    def _carry_out(self, steps: Steps[T]) -> T: ...


class Awaiter(Protocol):
    """Carries steps out when awaited."""

    async def _carry_out(self, steps: Steps[T]) -> T: ...


def ask(operation: Operation[T]) -> Steps[T]:
    """One step: `answer = yield from ask(operation)`."""
    answer: T = yield operation
    return answer


def carry_out(steps: Steps[T], run: Callable[[Operation[Any]], Any]) -> T:
    """Runs one operation after another; answers what they come to."""
    try:
        operation = next(steps)
        while True:
            operation = steps.send(run(operation))
    except StopIteration as end:
        answer: T = end.value
        return answer


async def carry_out_async(steps: Steps[T], run: Callable[[Operation[Any]], Awaitable[Any]]) -> T:
    """Awaits one operation after another; answers what they come to."""
    try:
        operation = next(steps)
        while True:
            operation = steps.send(await run(operation))
    except StopIteration as end:
        answer: T = end.value
        return answer


def named(carried_out: T, name: str) -> T:
    """What carries steps out, under the name by which Python is to warn of an `await` that was forgotten."""
    if isinstance(carried_out, CoroutineType):
        carried_out.__qualname__ = name
    return carried_out


def installed_version() -> Steps[int | None]:
    """The version of the schema: EMPTY without tables, None for tables that carry no version."""
    if not (yield from ask(operations.has_version())):
        return schema.EMPTY
    return (yield from ask(operations.read_version()))
