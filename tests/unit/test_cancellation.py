"""Cancellation: a request interrupts the block that is marked for it, once, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pgq_orm.models import Cancellation

Attempt = Callable[[Cancellation], Awaitable[object]]


async def until_asked_to_stop(attempt: Attempt) -> object:
    """Runs an attempt as the worker does, and asks it to stop when it has come to its first wait."""
    cancellation = Cancellation()
    task = asyncio.ensure_future(attempt(cancellation))
    cancellation.attach(task)
    await asyncio.sleep(0)
    cancellation.cancel()
    return await task


async def test_the_block_ends_where_it_waits_and_the_code_after_it_runs() -> None:
    async def attempt(cancellation: Cancellation) -> str:
        with cancellation:
            await asyncio.Event().wait()
            raise AssertionError("went on")
        await asyncio.sleep(0)  # waiting is possible again
        return "cleaned up"

    assert await until_asked_to_stop(attempt) == "cleaned up"


async def test_outside_a_block_the_attempt_itself_ends() -> None:
    async def attempt(cancellation: Cancellation) -> None:
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await until_asked_to_stop(attempt)


async def test_a_block_entered_after_the_request_ends_at_its_first_wait() -> None:
    async def attempt(cancellation: Cancellation) -> str:
        cancellation.cancel()
        with cancellation:
            await asyncio.Event().wait()
        return "cleaned up"

    assert await until_asked_to_stop(attempt) == "cleaned up"


async def test_every_block_after_the_request_ends_at_its_first_wait() -> None:
    async def attempt(cancellation: Cancellation) -> list[str]:
        ended = []
        for name in ("first", "second"):
            with cancellation:
                await asyncio.Event().wait()
            ended.append(name)
        return ended

    assert await asyncio.wait_for(until_asked_to_stop(attempt), 5) == ["first", "second"]


async def test_a_block_that_waits_for_nothing_runs_to_its_end() -> None:
    async def attempt(cancellation: Cancellation) -> str:
        with cancellation:
            done = "done"
        await asyncio.Event().wait()
        return done

    with pytest.raises(asyncio.CancelledError):
        await until_asked_to_stop(attempt)


async def test_an_error_in_the_block_is_not_swallowed() -> None:
    async def attempt(cancellation: Cancellation) -> None:
        with cancellation:
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("while cleaning up")

    with pytest.raises(LookupError):
        await until_asked_to_stop(attempt)


async def test_a_cancel_that_nobody_asked_for_passes_through() -> None:
    async def attempt(cancellation: Cancellation) -> None:
        with cancellation:
            await asyncio.Event().wait()

    cancellation = Cancellation()
    task = asyncio.ensure_future(attempt(cancellation))
    cancellation.attach(task)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not cancellation.cancel_called


async def test_asking_twice_interrupts_once() -> None:
    async def attempt(cancellation: Cancellation) -> str:
        with cancellation:
            await asyncio.Event().wait()
        cancellation.cancel()
        await asyncio.sleep(0)
        return "cleaned up"

    assert await until_asked_to_stop(attempt) == "cleaned up"


async def test_a_timeout_inside_the_block_still_works() -> None:
    async def attempt(cancellation: Cancellation) -> str:
        with cancellation:
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return "cleaned up"

    assert await until_asked_to_stop(attempt) == "cleaned up"


async def test_a_finished_attempt_is_left_alone() -> None:
    async def attempt(cancellation: Cancellation) -> str:
        return "done"

    assert await until_asked_to_stop(attempt) == "done"


def test_a_thread_looks_by_itself() -> None:
    cancellation = Cancellation()
    assert not cancellation.cancel_called
    cancellation.cancel()
    with cancellation:
        assert cancellation.cancel_called
