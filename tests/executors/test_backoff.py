"""RetryWithBackoffEntrypointExecutor: tries again at once, as long as the job is its own."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.errors import MaxRetriesExceeded, MaxTimeExceeded, RegistrationError, RetryException
from pgq_orm.executors import RetryWithBackoffEntrypointExecutor
from pgq_orm.executors.delays import GrowingDelays
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Cancel, HandlerVerdict, RetryRequested, Snooze
from pgq_orm.statuses import LogStatus
from tests.eventually import aeventually
from tests.executors.jobs import DRAIN, Queue, Runs, picked_job

Executing = Callable[..., Runs]

quick = partial(RetryWithBackoffEntrypointExecutor, initial_delay=0.001, max_delay=0.002)


class Flaky:
    """A service that fails so many times before it answers."""

    def __init__(self, failures: int = 10**9) -> None:
        self.failures = failures
        self.calls = 0

    async def handler(self, job: Job) -> str:
        return self.call()

    def sync_handler(self, job: Job) -> str:
        assert threading.current_thread() is not threading.main_thread()
        return self.call()

    def call(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError(f"failure {self.calls}")
        return "answer"


@pytest.mark.parametrize("kind", ["handler", "sync_handler"])
async def test_it_calls_until_the_handler_returns(executing: Executing, kind: str) -> None:
    service = Flaky(failures=3)
    assert await executing(quick, getattr(service, kind))() == "answer"
    assert service.calls == 4


@pytest.mark.parametrize("kind", ["handler", "sync_handler"])
async def test_after_so_many_attempts_it_gives_up_because_of_the_last(
    executing: Executing, kind: str
) -> None:
    service = Flaky()
    with pytest.raises(
        MaxRetriesExceeded, match="5 attempts failed, the last with ConnectionError"
    ) as caught:
        await executing(quick, getattr(service, kind))()
    assert str(caught.value.__cause__) == "failure 5"
    assert service.calls == 5


async def test_a_wait_that_would_outlast_the_time_is_not_begun(executing: Executing) -> None:
    service = Flaky()
    run = executing(partial(quick, initial_delay=60, max_delay=None, max_time=30), service.handler)
    with pytest.raises(MaxTimeExceeded, match="another would not begin within 30"):
        await asyncio.wait_for(run(), 5)
    assert service.calls == 1


async def test_an_async_handler_is_interrupted_when_the_time_is_over(executing: Executing) -> None:
    async def handler(job: Job) -> None:
        await asyncio.Event().wait()

    with pytest.raises(MaxTimeExceeded):
        await executing(partial(quick, max_time=timedelta(seconds=0.05)), handler)()


async def test_a_sync_handler_that_has_begun_may_end_and_counts(executing: Executing) -> None:
    may_end = threading.Event()

    def handler(job: Job) -> str:
        may_end.wait(10)
        return "late"

    running = asyncio.create_task(executing(partial(quick, max_time=0.01), handler)())
    await asyncio.sleep(0.05)  # the time is over, and nothing happens
    may_end.set()
    assert await running == "late"


async def test_a_timeout_of_the_handlers_own_is_a_failure_like_any_other(executing: Executing) -> None:
    async def handler(job: Job) -> None:
        raise TimeoutError("the bank does not answer")

    with pytest.raises(MaxRetriesExceeded) as caught:
        await executing(partial(quick, max_attempts=2), handler)()
    assert str(caught.value.__cause__) == "the bank does not answer"


async def test_without_limits_it_goes_on_until_it_is_interrupted(executing: Executing) -> None:
    service = Flaky()
    run = executing(
        partial(quick, max_attempts=None, max_time=None, max_delay=None, backoff_multiplier=1),
        service.handler,
    )
    running = asyncio.create_task(run())
    await aeventually(lambda: service.calls > 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_worker_that_is_asked_to_end_gives_the_job_back_instead_of_trying_again(
    executing: Executing, shutdown: asyncio.Event
) -> None:
    service = Flaky()
    running = asyncio.create_task(
        executing(partial(quick, initial_delay=60, max_delay=60), service.handler)()
    )
    await aeventually(lambda: service.calls == 1)
    shutdown.set()
    with pytest.raises(Snooze) as caught:
        await running
    assert caught.value.delay == timedelta(0)
    assert service.calls == 1


@pytest.mark.parametrize("verdict", [RetryRequested(), Snooze(timedelta(1)), Cancel("sold out")])
async def test_what_the_handler_says_of_its_job_is_passed_on(
    executing: Executing, verdict: HandlerVerdict
) -> None:
    async def handler(job: Job) -> None:
        raise verdict

    with pytest.raises(type(verdict)):
        await executing(quick, handler)()


async def test_so_is_a_task_groups_worth_of_it(executing: Executing) -> None:
    async def handler(job: Job) -> None:
        raise ExceptionGroup("from a TaskGroup", [RetryRequested(), RetryRequested()])

    with pytest.raises(ExceptionGroup):
        await executing(quick, handler)()


async def test_a_handler_that_fails_because_it_was_asked_to_stop_is_not_called_again(
    parameters: Callable[..., Any],
) -> None:
    service = Flaky()
    executor = quick(parameters(service.sync_handler))
    context = Context(picked_job())
    context.cancellation.cancel()
    with pytest.raises(ConnectionError):
        await executor.execute(context.job, context)
    assert service.calls == 1


async def test_a_subclass_may_declare_options_as_fields(parameters: Callable[..., Any]) -> None:
    from dataclasses import dataclass

    @dataclass(eq=False)
    class Counting(RetryWithBackoffEntrypointExecutor):
        unit: str = "calls"

        async def execute(self, job: Job, context: Context) -> str:
            return f"{await super().execute(job, context)} after {service.calls} {self.unit}"

    service = Flaky(failures=1)
    executor = Counting(parameters=parameters(service.handler), initial_delay=0, unit="attempts")
    assert await Runs(executor)() == "answer after 2 attempts"


def test_delays_grow_up_to_the_longest_and_half_of_them_is_left_to_chance() -> None:
    delays = [
        GrowingDelays(0.1, 10, 2.0, jitter=lambda: 0.0).seconds(failures) for failures in (1, 2, 3, 8, 5000)
    ]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 10, 10])
    assert GrowingDelays(0.1, 10, 2.0, jitter=lambda: 1.0).seconds(1) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "options", [{"max_attempts": 0}, {"max_delay": -1}, {"max_time": "5s"}, {"initial_delay": timedelta(-1)}]
)
def test_limits_that_cannot_be_kept_are_refused(
    parameters: Callable[..., Any], options: dict[str, Any]
) -> None:
    with pytest.raises(RegistrationError, match=rf"{next(iter(options))} must be"):
        RetryWithBackoffEntrypointExecutor(parameters(Flaky().handler), **options)


async def test_for_the_database_all_of_it_is_one_attempt(pgq: PgQueuer, queue: Queue) -> None:
    recovering, broken = Flaky(failures=2), Flaky()
    pgq.entrypoint("recovering", executor_factory=quick)(recovering.sync_handler)
    pgq.entrypoint("broken", executor_factory=quick)(broken.handler)
    good, bad = queue.enqueue("recovering"), queue.enqueue("broken")

    await pgq.run(mode=DRAIN)

    (answered,), (given_up,) = queue.log(good), queue.log(bad)
    assert (answered.status, answered.result, answered.attempt) == (LogStatus.SUCCESSFUL, "answer", 1)
    assert (given_up.status, given_up.attempt) == (LogStatus.EXCEPTION, 1)
    assert given_up.error == "MaxRetriesExceeded: 5 attempts failed, the last with ConnectionError"
    assert "ConnectionError: failure 5" in (given_up.traceback or "")
    assert issubclass(MaxRetriesExceeded, RetryException)


async def test_the_job_that_was_given_back_is_run_by_the_next_worker(pgq: PgQueuer, queue: Queue) -> None:
    service = Flaky(failures=1)
    pgq.entrypoint("flaky", executor_factory=partial(quick, initial_delay=60, max_delay=60))(service.handler)
    job_id = queue.enqueue("flaky")
    working = asyncio.create_task(pgq.run(max_jobs=1))  # a pick that is under way would bring it again
    await aeventually(lambda: service.calls == 1)
    pgq.shutdown.set()
    await working
    assert queue.log() == []

    pgq.shutdown.clear()
    await pgq.run(mode=DRAIN)

    assert [(row.status, row.attempt) for row in queue.log(job_id)] == [(LogStatus.SUCCESSFUL, 1)]
