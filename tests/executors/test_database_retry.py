"""DatabaseRetryEntrypointExecutor: the queue remembers what has failed, and when to try again."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from pgq_orm import PgQueuer
from pgq_orm.executors import DatabaseRetryEntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.outcomes import Cancel, RetryRequested
from pgq_orm.statuses import LogStatus
from tests.executors.jobs import DRAIN, Queue, Runs, picked_job

Executing = Callable[..., Runs]

without_chance = partial(DatabaseRetryEntrypointExecutor, jitter=lambda: 0.0)


def fail(job: Job) -> None:
    raise ConnectionError("the bank does not answer")


async def test_an_exception_becomes_a_request_to_retry_that_tells_it(executing: Executing) -> None:
    with pytest.raises(RetryRequested, match="ConnectionError: the bank does not answer") as caught:
        await executing(without_chance, fail)()
    assert caught.value.delay == timedelta(seconds=1)
    assert isinstance(caught.value.__cause__, ConnectionError)


async def test_the_delay_grows_with_the_attempts_that_the_database_counted(executing: Executing) -> None:
    run = executing(partial(without_chance, max_attempts=None, max_delay=timedelta(seconds=20)), fail)
    delays = []
    for attempts in (0, 1, 2, 3, 4, 5, 400):
        with pytest.raises(RetryRequested) as caught:
            await run(picked_job(attempts=attempts))
        delays.append(caught.value.delay)
    assert delays == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 16, 20, 20)]


@pytest.mark.parametrize(("attempts", "own_limit"), [(4, None), (1, 2), (9, 10)])
async def test_the_last_attempt_raises_what_the_handler_raised(
    executing: Executing, attempts: int, own_limit: int | None
) -> None:
    with pytest.raises(ConnectionError):
        await executing(without_chance, fail)(picked_job(attempts=attempts, max_attempts=own_limit))


async def test_what_the_handler_asks_for_comes_first(executing: Executing) -> None:
    async def handler(job: Job) -> None:
        raise RetryRequested(timedelta(hours=1)) if job.payload is None else Cancel("sold out")

    run = executing(without_chance, handler)
    with pytest.raises(RetryRequested) as caught:
        await run()
    assert caught.value.delay == timedelta(hours=1)
    with pytest.raises(Cancel):
        await run(picked_job(b"sold out"))


async def test_a_handler_that_fails_because_it_was_asked_to_stop_asks_for_nothing(
    parameters: Callable[..., Any],
) -> None:
    context = Context(picked_job())
    context.cancellation.cancel()
    with pytest.raises(ConnectionError):
        await without_chance(parameters(fail)).execute(context.job, context)


async def test_each_attempt_is_logged_and_the_last_one_ends_the_job(pgq: PgQueuer, queue: Queue) -> None:
    at_once = partial(DatabaseRetryEntrypointExecutor, max_attempts=3, initial_delay=0)
    pgq.entrypoint("failing", executor_factory=at_once)(fail)
    job_id = queue.enqueue("failing")

    await pgq.run(mode=DRAIN)

    assert [(row.status, row.attempt, row.retried) for row in queue.log(job_id)] == [
        (LogStatus.EXCEPTION, 1, True),
        (LogStatus.EXCEPTION, 2, True),
        (LogStatus.EXCEPTION, 3, False),
    ]
    assert all("the bank does not answer" in (row.error or "") for row in queue.log(job_id))
