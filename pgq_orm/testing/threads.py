"""Threads: where sync handlers run in a test, so that they share its connection: one that only its thread may use."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class AwaitedCalls(Executor):
    """Runs calls on the event loop, by whatever lets a sync call await there."""

    def __init__(self, run: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._run = run
        self._tasks: set[asyncio.Task[None]] = set()  # loop thread only; the loop itself holds no reference

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        async def settle() -> None:
            try:
                future.set_result(await self._run(lambda: call(*args, **kwargs)))
            except BaseException as error:
                future.set_exception(error)

        task = asyncio.get_running_loop().create_task(settle())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return future


class LentThread(Executor):
    """Runs calls in the thread that waits: what it waits for runs on an event loop in another one."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def settle() -> None:
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(settle)
        return future

    def wait_for(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the coroutine comes to, which may submit calls meanwhile."""
        surroundings = copy_context()
        future: Future[T] = Future()

        def live() -> None:
            try:
                future.set_result(surroundings.run(asyncio.run, work()))
            except BaseException as error:
                future.set_exception(error)
            finally:
                self._calls.put(None)

        loop_thread = threading.Thread(target=live, name="pgq-drain", daemon=True)
        loop_thread.start()
        while (call := self._calls.get()) is not None:
            call()
        loop_thread.join()
        return future.result()
