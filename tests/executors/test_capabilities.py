"""Capabilities: what an executor lacks cannot be asked of it, and one hears so where the handler is registered."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import RegistrationError
from pgq_orm.executors import (
    AbstractEntrypointExecutor,
    Capabilities,
    EntrypointExecutor,
    ProcessExecutor,
    SubInterpreterExecutor,
    SubprocessExecutor,
)
from pgq_orm.executors.abstract import check_factory
from pgq_orm.models import Context, Job
from tests.executors import handlers
from tests.executors.jobs import DRAIN, Queue, Runs


def test_each_executor_says_what_it_can() -> None:
    everything = Capabilities(time_limit=True, memory_limit=True, cancellation=True)
    assert ProcessExecutor.capabilities == SubprocessExecutor.capabilities == everything
    assert EntrypointExecutor.capabilities == Capabilities(
        time_limit=True, cancellation=True, transactional=True
    )
    assert SubInterpreterExecutor.capabilities == Capabilities()


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (
            partial(SubInterpreterExecutor, time_limit=5),  # type: ignore[call-arg]
            "SubInterpreterExecutor has no time_limit: nothing can stop what runs there; use ProcessExecutor",
        ),
        (
            partial(SubInterpreterExecutor, memory_limit=1 << 30),  # type: ignore[call-arg]
            "SubInterpreterExecutor has no memory_limit: only a process of its own can be bounded",
        ),
        (
            partial(EntrypointExecutor, memory_limit=1 << 30),  # type: ignore[call-arg]
            "EntrypointExecutor has no memory_limit: only a process of its own can be bounded; use ProcessExecutor",
        ),
        (
            partial(ProcessExecutor, memory_limt=1 << 30),  # type: ignore[call-arg]
            "ProcessExecutor cannot be made with these options: got an unexpected keyword argument 'memory_limt'",
        ),
    ],
)
def test_asking_for_what_it_lacks_is_refused_at_registration(pgq: PgQueuer, factory: Any, words: str) -> None:
    with pytest.raises(RegistrationError, match=words):
        pgq.entrypoint("entrypoint", executor_factory=factory)(handlers.double)
    assert "entrypoint" not in pgq.registry.entrypoints


async def test_what_a_lambda_hides_is_refused_before_the_worker_picks_anything(
    pgq: PgQueuer, queue: Queue
) -> None:
    pgq.entrypoint(
        "entrypoint",
        executor_factory=lambda parameters: EntrypointExecutor(parameters, memory_limit=1 << 30),  # type: ignore[call-arg]
    )(handlers.double)
    queue.enqueue("entrypoint")
    with pytest.raises(RegistrationError, match="EntrypointExecutor has no memory_limit"):
        await pgq.run(mode=DRAIN)
    assert queue.log() == []


def test_a_time_limit_may_be_asked_for_by_other_means(pgq: PgQueuer) -> None:
    check_factory(ProcessExecutor, handlers.double, time_limit=5)
    with pytest.raises(RegistrationError, match="has no time_limit"):
        check_factory(SubInterpreterExecutor, handlers.double, time_limit=5)


async def test_a_subclass_speaks_for_itself(parameters: Callable[..., Any]) -> None:
    class InContainer(AbstractEntrypointExecutor):
        capabilities = Capabilities(memory_limit=True)

        def __init__(self, image: str, parameters: Any, memory_limit: int) -> None:
            super().__init__(parameters)
            self.image, self.memory_limit = image, memory_limit

        async def execute(self, job: Job, context: Context) -> str:
            return f"{self.image} with {self.memory_limit}"

    check_factory(partial(InContainer, "busybox", memory_limit=5), handlers.double)
    executor = InContainer("busybox", parameters(handlers.double), memory_limit=5)
    assert await Runs(executor)() == "busybox with 5"
