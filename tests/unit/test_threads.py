"""Threads: every call ends once and is heard of, whatever happens to threads and to those who wait."""

import asyncio
import concurrent.futures
import ctypes
import gc
import random
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from pgq_orm.canary import Canary
from pgq_orm.executors import HandlerExited, threads
from pgq_orm.executors.calls import Call
from pgq_orm.executors.threads import HandlerThreads, call_in_thread
from tests.eventually import aeventually

NAME = "tested-thread"
PATIENCE = 20.0


@pytest.fixture
async def hands() -> AsyncIterator[HandlerThreads]:
    """Up to four threads."""
    with HandlerThreads(4, NAME) as hands:
        yield hands


@pytest.fixture(params=["own", "other"])
async def any_threads(request: pytest.FixtureRequest) -> AsyncIterator[Executor]:
    """Threads of our own, and those of an executor of any kind."""
    with HandlerThreads(4, NAME) if request.param == "own" else ThreadPoolExecutor(4, NAME) as made:
        yield made


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What calls wait for; open after the test in any case."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that go back to the pool at once, and lose the interpreter's lock all the time."""
    monkeypatch.setattr(threads, "LINGER_SECONDS", 0.0001)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def alive() -> list[threading.Thread]:
    """The threads of the test."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


def wait_for(gate: threading.Event) -> str:
    """A call that blocks, until the gate is opened."""
    assert gate.wait(PATIENCE)
    return "waited"


def raising(error: BaseException) -> Any:
    """A call that raises."""
    raise error


# What comes of a call


async def test_a_call_gives_what_it_returns(any_threads: Executor) -> None:
    assert await call_in_thread(any_threads, lambda: threading.current_thread().name.rsplit("_")[0]) == NAME


class Odd(BaseException):
    """An exception that is no Exception."""


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), Odd(), asyncio.CancelledError(), concurrent.futures.CancelledError()],
    ids=repr,
)
async def test_a_call_raises_what_it_raises(any_threads: Executor, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        await call_in_thread(any_threads, partial(raising, error))
    assert raised.value is error


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
async def test_an_exit_is_an_outcome_and_ends_nothing(
    any_threads: Executor, kind: type[BaseException]
) -> None:
    with pytest.raises(HandlerExited, match=kind.__name__) as raised:
        await call_in_thread(any_threads, partial(raising, kind("now")))
    assert isinstance(raised.value.__cause__, kind)
    assert await call_in_thread(any_threads, lambda: "goes on") == "goes on"


async def test_a_call_has_the_context_of_its_caller_and_keeps_its_own_to_itself(
    any_threads: Executor,
) -> None:
    color: ContextVar[str] = ContextVar("color", default="none")

    def paint() -> str:
        found = color.get()
        color.set("red")
        return found

    color.set("blue")
    assert [await call_in_thread(any_threads, paint) for _ in range(10)] == ["blue"] * 10
    assert color.get() == "blue"


async def test_nothing_of_a_call_outlives_it_in_a_thread_that_waits(hands: HandlerThreads) -> None:
    class Mark:
        pass

    mark = Mark()
    ref = weakref.ref(mark)
    gc.disable()
    try:
        assert await call_in_thread(hands, partial(isinstance, mark, Mark))
        del mark
        await aeventually(lambda: ref() is None)
    finally:
        gc.enable()


# Many of them


async def test_every_call_is_made_once_and_its_end_arrives(hurried: None) -> None:
    """The pauses let threads fall idle, go back to the pool and be woken at every point there is."""
    made: list[int] = []

    hands = HandlerThreads(4, NAME)

    def work(number: int) -> int:
        made.append(number)
        if number % 7 == 0:
            time.sleep(random.random() / 2000)
        if number % 5 == 0:
            raise ValueError(number)
        return number

    async def call(number: int) -> int:
        try:
            return await call_in_thread(hands, partial(work, number))
        except ValueError as error:
            return -int(str(error))

    with hands:
        ended: list[int] = []
        async with asyncio.timeout(PATIENCE):
            for first in range(0, 6000, 20):
                ended += await asyncio.gather(*map(call, range(first, first + random.randrange(1, 21))))
                if random.random() < 0.3:
                    await asyncio.sleep(random.random() / 2000)
    assert sorted(made) == [abs(number) for number in ended]
    assert {abs(number) for number in ended if number < 0} == {n for n in made if n and n % 5 == 0}


async def test_calls_that_block_run_side_by_side_as_many_as_there_may_be_threads(
    hands: HandlerThreads,
) -> None:
    together = threading.Barrier(4)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(call_in_thread(hands, partial(together.wait, PATIENCE)) for _ in range(40)))
    assert len(alive()) == 4


async def test_there_are_never_more_threads_than_allowed(hurried: None) -> None:
    running: set[int] = set()
    most: list[int] = []

    def work() -> None:
        running.add(threading.get_ident())
        most.append(len(running))
        time.sleep(0.0002)
        running.discard(threading.get_ident())

    with HandlerThreads(3, NAME) as hands:
        for _ in range(50):
            await asyncio.gather(*(call_in_thread(hands, work) for _ in range(10)))
            assert len(alive()) <= 3
    assert max(most) <= 3


async def test_calls_begin_in_order() -> None:
    begun: list[int] = []
    with HandlerThreads(1, NAME) as hands:
        await asyncio.gather(*(call_in_thread(hands, partial(begun.append, number)) for number in range(100)))
    assert begun == list(range(100))


async def test_no_thread_is_there_before_it_is_needed(hands: HandlerThreads) -> None:
    assert alive() == []
    await call_in_thread(hands, time.monotonic)
    assert alive() != []


async def test_the_loop_is_told_once_of_all_that_has_ended_since_it_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    told = []
    tell = loop.call_soon_threadsafe

    def count(*args: Any) -> asyncio.Handle:
        told.append(args)
        return tell(*args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    with HandlerThreads(1, NAME) as hands:
        last = threading.Event()
        calls = [call_in_thread(hands, time.monotonic) for _ in range(100)]
        calls.append(call_in_thread(hands, last.set))  # type: ignore[arg-type]
        assert last.wait(PATIENCE)  # the loop does not turn meanwhile
        await asyncio.gather(*calls)
    assert len(told) <= 2  # the last one may have ended when the loop looked already


class Hesitant(list[Any]):
    """Gates, of which one is taken long before it is opened: whoever does that loses the interpreter's lock."""

    hesitates = False

    def pop(self, *position: Any) -> Any:
        gate = super().pop(*position)
        if self.hesitates:
            self.hesitates = False
            time.sleep(0.3)
        return gate


async def test_a_thread_that_comes_by_itself_while_it_is_being_woken_does_not_keep_others_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "LINGER_SECONDS", 0.05)
    with HandlerThreads(4, NAME) as hands:
        hands._idle = idle = Hesitant()
        await call_in_thread(hands, int)
        await aeventually(lambda: bool(idle))
        idle.hesitates = True
        await call_in_thread(hands, int)
        await aeventually(lambda: not idle)  # back to the pool
        async with asyncio.timeout(PATIENCE):
            await call_in_thread(hands, int)


# Those who wait


async def test_being_cancelled_is_told_when_the_call_has_really_ended(
    any_threads: Executor, gate: threading.Event
) -> None:
    interrupted = []
    has_begun = threading.Event()

    def wait() -> str:
        has_begun.set()
        return wait_for(gate)

    call = call_in_thread(any_threads, wait, lambda: interrupted.append(threading.current_thread()))
    waiting = asyncio.ensure_future(awaiting(call))
    await asyncio.sleep(0)
    await aeventually(has_begun.is_set)
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert interrupted == [threading.current_thread()]
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.has_returned
    assert call.result() == "waited"


@pytest.mark.parametrize("kind", [HandlerThreads, ThreadPoolExecutor])
@pytest.mark.parametrize("requests", [1, 2])
async def test_a_call_that_is_cancelled_before_it_begins_is_never_made(
    kind: type[HandlerThreads | ThreadPoolExecutor], requests: int, gate: threading.Event
) -> None:
    made: list[int] = []
    with kind(1, NAME) as hands:
        first = call_in_thread(hands, partial(wait_for, gate))
        waiting = asyncio.ensure_future(awaiting(call_in_thread(hands, partial(made.append, 1))))
        await asyncio.sleep(0)
        for _ in range(requests):
            waiting.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await first
        await call_in_thread(hands, partial(made.append, 2))
    assert made == [2]


async def test_what_a_call_raises_after_its_waiter_was_cancelled_is_no_ones(
    any_threads: Executor, gate: threading.Event
) -> None:
    def fail() -> None:
        wait_for(gate)
        raise ValueError("too late")

    call = call_in_thread(any_threads, fail)
    waiting = asyncio.ensure_future(awaiting(call))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not call.has_returned


async def test_an_interrupted_call_that_times_out_ends_as_a_timeout(
    any_threads: Executor, gate: threading.Event
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call_in_thread(any_threads, partial(wait_for, gate), interrupt=gate.set)


async def test_no_number_of_cancellations_leaves_the_thread_behind(
    any_threads: Executor, gate: threading.Event
) -> None:
    interrupted: list[bool] = []
    has_begun = threading.Event()

    def wait() -> str:
        has_begun.set()
        return wait_for(gate)

    call = call_in_thread(any_threads, wait, lambda: interrupted.append(True))
    waiting = asyncio.ensure_future(awaiting(call))
    await aeventually(has_begun.is_set)
    for _ in range(5):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.has_returned
    assert interrupted == [True]


@pytest.mark.parametrize("kind", [HandlerThreads, ThreadPoolExecutor])
def test_a_loop_that_ends_leaves_the_thread_behind_that_was_asked_to_stop(
    kind: type[HandlerThreads | ThreadPoolExecutor], gate: threading.Event
) -> None:
    calls: list[Call[str]] = []
    canary = Canary()

    async def live() -> Executor:
        canary.put_up()
        hands, begun = kind(4, NAME), threading.Event()

        def wait() -> str:
            begun.set()
            return wait_for(gate)

        calls.append(call_in_thread(hands, wait))
        asyncio.ensure_future(awaiting(calls[0])).add_done_callback(lambda _: ended.append(True))
        await aeventually(begun.is_set)
        [waiting] = [task for task in asyncio.all_tasks() if "awaiting" in repr(task)]
        waiting.cancel()
        return hands

    ended: list[bool] = []
    hands = asyncio.run(live())
    assert ended == [True]
    assert not calls[0].has_returned
    gate.set()
    hands.shutdown()  # its end is harmless


def test_ends_are_harmless_when_the_loop_has_gone(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    ended = []

    def work() -> None:
        wait_for(gate)
        ended.append(True)

    async def live() -> HandlerThreads:
        hands = HandlerThreads(4, NAME)
        for _ in range(3):
            call_in_thread(hands, work)
        return hands

    hands = asyncio.run(live())
    gate.set()
    hands.shutdown()
    assert ended == [True] * 3
    assert caplog.records == []


# Shutting down


async def test_shutting_down_lets_what_waits_be_called(gate: threading.Event) -> None:
    hands = HandlerThreads(1, NAME)
    calls = [call_in_thread(hands, partial(wait_for, gate)) for _ in range(5)]
    hands.shutdown(wait=False)
    gate.set()
    assert await asyncio.gather(*calls) == ["waited"] * 5
    await aeventually(lambda: alive() == [])


async def test_shutting_down_can_forgo_what_has_not_begun(gate: threading.Event) -> None:
    hands = HandlerThreads(1, NAME)
    running = call_in_thread(hands, partial(wait_for, gate))
    await aeventually(lambda: not hands._waiting)
    waiting = call_in_thread(hands, partial(wait_for, gate))
    submitted = hands.submit(wait_for, gate)
    hands.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(asyncio.CancelledError):
        await awaiting(waiting)
    assert submitted.cancelled()
    gate.set()
    assert await running == "waited"
    await aeventually(lambda: alive() == [])


async def test_an_executor_that_forgoes_a_call_leaves_nobody_waiting(gate: threading.Event) -> None:
    has_begun = threading.Event()

    def wait() -> str:
        has_begun.set()
        return wait_for(gate)

    pool = ThreadPoolExecutor(1, NAME)
    running = call_in_thread(pool, wait)
    await aeventually(has_begun.is_set)
    waiting = call_in_thread(pool, partial(wait_for, gate))
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(asyncio.CancelledError):
        await awaiting(waiting)
    gate.set()
    assert await running == "waited"


async def test_nothing_is_called_after_that() -> None:
    hands = HandlerThreads(1, NAME)
    hands.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        call_in_thread(hands, time.monotonic)
    with pytest.raises(RuntimeError, match="shut down"):
        hands.submit(time.monotonic)


async def test_idle_threads_end_at_once(hands: HandlerThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LINGER_SECONDS", 2 * PATIENCE)
    await asyncio.gather(*(call_in_thread(hands, partial(time.sleep, 0.01)) for _ in range(8)))
    began = time.monotonic()
    hands.shutdown()
    assert alive() == []
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("work", ["time.sleep(0)", "(time.sleep(1), print('ended'))"], ids=["idle", "busy"])
def test_an_interpreter_that_ends_without_shutting_them_down_waits_for_what_runs_alone(work: str) -> None:
    program = (
        "import asyncio, threading, time\n"
        "from pgq_orm.executors.threads import HandlerThreads, call_in_thread\n"
        "async def live():\n"
        "    global hands\n"
        "    hands, begun = HandlerThreads(4, 'left'), threading.Event()\n"
        f"    call = call_in_thread(hands, lambda: (begun.set(), {work}))\n"
        "    begun.wait()\n"
        "asyncio.run(live())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert (ended.stdout, ended.stderr) == ("ended\n" if "ended" in work else "", "")


@pytest.mark.parametrize("daemon", [True, False])
@pytest.mark.parametrize("kind", ["HandlerThreads", "ThreadPoolExecutor"])
def test_an_interpreter_that_ends_gets_no_more_calls_which_are_given_back(kind: str, daemon: bool) -> None:
    program = (
        "import asyncio, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from pgq_orm.executors.threads import HandlerThreads, call_in_thread\n"
        "from pgq_orm.outcomes import Snooze\n"
        "begun = threading.Event()\n"
        "async def live():\n"
        f"    hands = {kind}(4, 'busy')\n"
        "    try:\n"
        "        while True:\n"
        "            await call_in_thread(hands, begun.set)\n"
        "    except Snooze:\n"
        f"        {daemon} or print('given back')\n"
        f"threading.Thread(target=lambda: asyncio.run(live()), daemon={daemon}).start()\n"
        "begun.wait()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert (ended.stdout, ended.stderr) == ("" if daemon else "given back\n", "")


# As an executor, for those who bring their own calls


async def test_they_are_an_executor_like_any_other(hands: HandlerThreads) -> None:
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(hands, pow, 2, 10) == 1024
    assert hands.submit(int, "20", base=3).result(PATIENCE) == 6
    assert list(hands.map(abs, [-1, -2])) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(hands, divmod, 1, 0)


async def test_a_future_that_is_cancelled_before_its_call_is_not_called(gate: threading.Event) -> None:
    with HandlerThreads(1, NAME) as hands:
        running = call_in_thread(hands, partial(wait_for, gate))
        called: list[bool] = []
        future = hands.submit(called.append, True)
        assert future.cancel()
        gate.set()
        await running
    assert called == []


def test_calls_may_come_from_any_thread() -> None:
    async def live() -> list[int]:
        with HandlerThreads(2, NAME) as hands, ThreadPoolExecutor(4) as others:
            submitted = [others.submit(hands.submit, abs, -number) for number in range(200)]
            return [each.result(PATIENCE).result(PATIENCE) for each in submitted]

    assert asyncio.run(live()) == list(range(200))


# What may befall a thread


class OutOfTime(Exception):
    """What a library raises in a thread to end what runs there."""


async def test_a_thread_that_is_interrupted_too_late_goes_on(
    hands: HandlerThreads, caplog: pytest.LogCaptureFixture
) -> None:
    await call_in_thread(hands, time.monotonic)
    await aeventually(lambda: hands._idle)
    for thread in alive():
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(OutOfTime))
    async with asyncio.timeout(PATIENCE):
        together = threading.Barrier(4)
        await asyncio.gather(*(call_in_thread(hands, partial(together.wait, PATIENCE)) for _ in range(8)))
    assert "OutOfTime" in caplog.text
    assert len(alive()) == 4


async def test_a_system_that_grants_few_threads_has_these_run_everything(
    hands: HandlerThreads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start

    def start_few(thread: threading.Thread) -> None:
        if len(alive()) >= 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(call_in_thread(hands, partial(time.sleep, 0.001)) for _ in range(50)))
    assert len(alive()) <= 2
    assert "No more threads can be started" in caplog.text


async def test_a_system_that_grants_none_has_the_call_fail_and_the_next_one_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[int] = []
    with HandlerThreads(1, NAME) as hands:
        with monkeypatch.context() as patch:
            patch.setattr(
                threading.Thread, "start", lambda thread: raising(RuntimeError("can't start new thread"))
            )
            with pytest.raises(RuntimeError, match="can't start"):
                call_in_thread(hands, partial(called.append, 1))
        async with asyncio.timeout(PATIENCE):
            await call_in_thread(hands, partial(called.append, 2))
    assert called == [2]


async def awaiting(call: Awaitable[Any]) -> Any:
    """Awaits it, in a task."""
    return await call
