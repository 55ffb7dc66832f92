"""Threads: where blocking calls run beside the worker's loop."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import thread as pools
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

from pgq_orm.executors.calls import Call
from pgq_orm.journal import tell
from pgq_orm.outcomes import Snooze

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LINGER_SECONDS = 1.0
"""How long a thread waits for its next call before it goes back to the pool, from where it takes longer to come."""
ENDING_SECONDS = 1.0
"""For how long a job is given back that came while the interpreter was ending."""


def call_in_thread(
    threads: Executor, call: Callable[[], T], interrupt: Callable[[], object] | None = None
) -> Call[T]:
    """Has it called in a thread; await the answer for what it returns or raises, once it has really ended.

    Raises Snooze while the interpreter is ending: another worker can run the job, and no pool here takes any call.
    """
    made = Call(call, interrupt)
    try:
        if isinstance(threads, HandlerThreads):
            threads.take(made)
        else:
            loop = asyncio.get_running_loop()
            threads.submit(made.run).add_done_callback(lambda _: loop.call_soon_threadsafe(made.settle))
    except RuntimeError as error:
        if _is_interpreter_ending():
            raise Snooze(timedelta(seconds=ENDING_SECONDS)) from error
        raise
    return made


class HandlerThreads(Executor):
    """Threads that take calls from one queue, in order, and tell the event loop how they ended, many at once.

    What a short call costs is its hand-over to a thread, and that of its end to the loop: each wakes a thread, which
    then waits for the interpreter's lock. So a single thread is woken, and takes one call after the other. Before each
    it wakes another one if more are waiting, whose turn comes when it is needed: as soon as the first one lets go of
    the lock, because its call blocks or has taken too long. The last thread to fall idle is the first to be woken: no
    more of them are in use, each with a connection perhaps, than calls really run side by side.

    Make it in the loop that is to be told.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        # Lends the threads. It knows how to end them, also with an interpreter that ends without telling us.
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix=name)
        # Where nothing else is said, all threads use these; the order of reads and writes is what keeps them in step.
        self._waiting: deque[Call[Any] | _Submission[Any]] = deque()
        self._ended: deque[Call[Any]] = deque()
        self._is_told = False
        """Whether the loop is about to look at what has ended."""
        self._idle: list[Lock] = []
        """Gates, closed; behind each a thread waits."""
        self._is_coming = False
        """Whether a thread is on its way that has not yet looked at what is waiting."""
        self._serving = 0  # under _count
        """Threads that are not in the pool."""
        self._count = Lock()
        self._has_any = False
        self._is_over = False

    def take(self, call: "Call[Any] | _Submission[Any]") -> None:
        """Has it run as soon as a thread is free. A Call's end is told in the loop."""
        # It waits for our threads, which would never be out of work if we went on to bring them some.
        if self._is_over or _is_interpreter_ending():
            raise RuntimeError("these threads have been shut down")
        if not self._has_any:
            self._pool.submit(int)  # raises if not even one thread can be started; from then on one can serve
            self._has_any = True
        self._waiting.append(call)
        if not self._is_coming:
            self._bring()

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        submission = _Submission(partial(call, *args, **kwargs))
        self.take(submission)
        return submission.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._is_over = True
        while cancel_futures and self._waiting:
            with suppress(IndexError):
                self._forgo(self._waiting.popleft())
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().release()
        self._pool.shutdown(wait)

    def _bring(self) -> None:
        """Has one more thread look at what is waiting, if one is left."""
        # Before a gate is taken: its thread may run out of patience, and come by itself.
        self._is_coming = True
        try:
            gate = self._idle.pop()
        except IndexError:
            self._lend()
        else:
            gate.release()

    def _lend(self) -> None:
        with self._count:
            is_possible = self._serving < self._limit and not self._is_over
            self._serving += is_possible
        if not is_possible:
            self._is_coming = False
            if self._waiting and self._idle:
                self._bring()  # one that fell idle meanwhile, while whoever had a call relied on us
            return
        try:
            self._pool.submit(self._serve)
        except RuntimeError as error:
            # The pool keeps this for the first thread that goes back to it, so the count is right.
            self._is_coming = False
            if self._is_over or _is_interpreter_ending():
                return
            tell(
                logger,
                logging.WARNING,
                "No more threads can be started for handlers, those that there are go on: %s",
                error,
            )

    # In a thread

    def _serve(self) -> None:
        is_serving = True
        while is_serving:
            try:
                self._is_coming = False
                self._run_what_waits()
                is_serving = self._linger() or not self._leave()
            except BaseException:
                # by PyThreadState_SetAsyncExc, with which some libraries limit the time that a function may take
                tell(
                    logger,
                    logging.ERROR,
                    "A handler's thread was interrupted after the handler's end; it goes on",
                    exc_info=True,
                )

    def _run_what_waits(self) -> None:
        while True:
            try:
                call = self._waiting.popleft()
            except IndexError:
                return
            if self._waiting and not self._is_coming:
                self._bring()
            try:
                call.run()
            finally:
                if isinstance(call, Call):
                    self._tell(call)
            del call  # a thread that waits keeps nothing of it alive

    def _linger(self) -> bool:
        """Waits to be woken; whether there is something to look at."""
        gate = Lock()
        gate.acquire()
        self._idle.append(gate)
        is_wanted = bool(self._waiting)  # by a call that came when this thread did not pass for idle yet
        is_woken = False
        try:
            is_woken = not is_wanted and not self._is_over and gate.acquire(timeout=LINGER_SECONDS)
        finally:
            is_woken = is_woken or not self._withdraw(gate)
        return is_woken or is_wanted

    def _withdraw(self, gate: Lock) -> bool:
        """Takes the gate back; False if somebody has taken it, to open it."""
        try:
            self._idle.remove(gate)
        except ValueError:
            return False
        return True

    def _leave(self) -> bool:
        """Goes back to the pool; False if a call came that found no thread to be lent."""
        with self._count:
            if self._waiting:
                return False
            self._serving -= 1
            return True

    def _tell(self, call: Call[Any]) -> None:
        self._ended.append(call)
        if self._is_told:
            return
        self._is_told = True
        with suppress(RuntimeError):  # the loop has been closed, and nobody waits any more
            self._loop.call_soon_threadsafe(self._settle)

    def _forgo(self, call: "Call[Any] | _Submission[Any]") -> None:
        if isinstance(call, Call):
            self._tell(call)
        else:
            call.future.cancel()

    # In the loop

    def _settle(self) -> None:
        self._is_told = False  # before looking: what ends from now on is told again
        while self._ended:
            self._ended.popleft().settle()


def _is_interpreter_ending() -> bool:
    return pools._shutdown  # nothing public says so before all threads have ended


class _Submission(Generic[T]):
    """What somebody else has called here."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.future: Future[T] = Future()
        self._call = call

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._call())
        except BaseException as error:
            self.future.set_exception(error)
            del self  # of which the error's traceback would make a cycle
