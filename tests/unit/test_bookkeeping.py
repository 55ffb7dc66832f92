"""Bookkeeping: what a worker opens in threads is closed, whoever still waits for it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from pgq_orm.bookkeeping import open_in_thread


async def cancelled_while(threads: ThreadPoolExecutor, opened: threading.Event, closed: list[str]) -> None:
    """Waits for a connection that is opened when `opened` is set, and gives up."""
    begun = threading.Event()

    def open_one() -> str:
        begun.set()
        assert opened.wait(30)
        return "a connection"

    waiting = asyncio.create_task(open_in_thread(threads, open_one, closed.append))
    await asyncio.to_thread(begun.wait, 30)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()


async def test_what_nobody_waits_for_any_more_is_closed_once_it_is_open() -> None:
    opened, closed = threading.Event(), list[str]()
    with ThreadPoolExecutor(1) as threads:
        await cancelled_while(threads, opened, closed)
        assert closed == []
        opened.set()
    assert closed == ["a connection"]


def test_so_it_is_after_the_event_loop_has_ended() -> None:
    opened, closed = threading.Event(), list[str]()
    with ThreadPoolExecutor(1) as threads:
        asyncio.run(cancelled_while(threads, opened, closed))
        opened.set()
    assert closed == ["a connection"]


async def test_nothing_is_opened_for_nobody() -> None:
    free, opened = threading.Event(), list[str]()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(free.wait, 30)
        waiting = asyncio.create_task(open_in_thread(threads, lambda: opened.append("one"), lambda _: None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        free.set()
    assert opened == []
