"""Conversation: a contestant's end of the pipe by which it is told what to do, and tells how it went.

One line of JSON a message, on standard input and output. Standard library alone, for it runs in every environment.
"""

import asyncio
import itertools
import json
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

WARM_UP = 20
"""How many enqueues come before the clock starts: the first ones prepare statements and fill caches."""


class Stopwatch:
    """Time and CPU time spent on what it yields, without the first of it."""

    def __init__(self) -> None:
        self.counted = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def over(self, items: Sequence[T], warm_up: int) -> Iterator[T]:
        """Yields all items; the clock runs from the one after `warm_up` to the end of the last."""
        yield from items[:warm_up]
        self.counted = len(items) - warm_up
        started, cpu_started = time.perf_counter(), time.process_time()
        yield from items[warm_up:]
        self.seconds = time.perf_counter() - started
        self.cpu_seconds = time.process_time() - cpu_started


class Stop:
    """The wish that a worker ends, which arrives in another thread than the worker's."""

    def __init__(self) -> None:
        self._is_wished = False
        self._callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def wish(self) -> None:
        """Calls whoever wants to know."""
        with self._lock:
            self._is_wished = True
            callbacks = self._callbacks.copy()
        for callback in callbacks:
            callback()

    def then(self, callback: Callable[[], object]) -> None:
        """Has `callback` called, in the thread that wishes; at once if that has happened."""
        with self._lock:
            self._callbacks.append(callback)
            is_wished = self._is_wished
        if is_wished:
            callback()

    def then_in_loop(self, callback: Callable[[], object]) -> None:
        """Has `callback` called in the running loop."""
        loop = asyncio.get_running_loop()
        self.then(lambda: loop.call_soon_threadsafe(callback))


class Tally:
    """Counts the runs of numbered jobs, in however many threads; tells of the first, of the last, or of each."""

    def __init__(self, jobs: int, goal: int, tell: Callable[..., None], *, tells_each: bool) -> None:
        self._runs = bytearray(jobs)
        self._counter = itertools.count(1)
        self._goal = goal
        self._tell = tell
        self._tells_each = tells_each

    def __call__(self, number: bytes | str | int) -> None:
        """To be called by the handler, as the first thing it does, with what it found in its job."""
        now = time.monotonic()
        self._runs[int(number)] += 1
        count = next(self._counter)  # atomic, as += would not be
        if count == 1:
            self._tell("first", at=now, cpu_seconds=time.process_time())
        if self._tells_each:
            self._tell("started", number=int(number), at=now)
        if count == self._goal:
            self._tell("goal", at=time.monotonic())

    @property
    def runs(self) -> int:
        """How many runs there were, of whatever job."""
        return sum(self._runs)

    @property
    def doubled(self) -> int:
        """How many jobs ran more than once."""
        return sum(runs > 1 for runs in self._runs)


class Contestant(Protocol):
    """What each contestant can do. Its connections are opened and closed within each call."""

    @property
    def libraries(self) -> Sequence[str]:
        """The distributions whose versions matter."""
        ...

    @property
    def fill(self) -> str:
        """SQL that adds jobs with the numbers from %(first)s to %(last)s, to run in %(delay)s::float8 seconds."""
        ...

    @property
    def left(self) -> str:
        """SQL that counts the jobs that are still to be done."""
        ...

    @property
    def done(self) -> str:
        """SQL that counts the different jobs that ended well."""
        ...

    def install(self) -> None:
        """Creates the tables in an empty database."""
        ...

    def enqueue_singly(self, payloads: list[bytes], watch: Stopwatch) -> None:
        """Enqueues job after job on one connection, each with a commit, by `watch.over`."""
        ...

    def enqueue_in_bulk(self, payloads: list[bytes], watch: Stopwatch) -> None:
        """Enqueues two lots, each as fast as it can be done: the first to warm up, the second by `watch.over`."""
        ...

    def work(self, tally: Tally, stop: Stop, options: Mapping[str, Any]) -> None:
        """Runs jobs, whose handler calls `tally`, until told to stop."""
        ...


def two_lots(payloads: list[bytes]) -> list[list[bytes]]:
    """What `enqueue_in_bulk` enqueues: a small lot and a large one."""
    return [payloads[:WARM_UP], payloads[WARM_UP:]]


def serve(open_contestant: Callable[..., Contestant]) -> None:
    """Obeys until standard input ends. The program's first argument is the DSN, the second its options."""
    tell = _only_we_write_to_standard_output()
    contestant = open_contestant(sys.argv[1], **json.loads(sys.argv[2]))
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    stop = Stop()

    def listen() -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if order["order"] == "stop":
                stop.wish()
            else:
                orders.put(order)
        orders.put(None)
        stop.wish()

    threading.Thread(target=listen, daemon=True).start()
    tell(
        "ready",
        versions={name: version(name) for name in contestant.libraries},
        fill=contestant.fill,
        left=contestant.left,
        done=contestant.done,
    )
    while (order := orders.get()) is not None:
        tell("answer", **_obey(contestant, order, stop, tell))
    os._exit(0)  # whatever threads are still there


def _obey(
    contestant: Contestant, order: dict[str, Any], stop: Stop, tell: Callable[..., None]
) -> dict[str, Any]:
    match order:
        case {"order": "install"}:
            contestant.install()
            return {}
        case {"order": "enqueue", "jobs": jobs, "how": how}:
            watch = Stopwatch()
            numbers = (b"%d" % number for number in range(jobs))
            match how:
                case "singly":
                    contestant.enqueue_singly(list(numbers), watch)
                case "in_bulk":
                    contestant.enqueue_in_bulk(list(numbers), watch)
                case "each":
                    contestant.enqueue_each(numbers)  # type: ignore[attr-defined]
            return {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds, "peak_bytes": _peak_bytes()}
        case {"order": "work", "jobs": jobs, "goal": goal, "tells_each": tells_each, "options": options}:
            tally = Tally(jobs, goal, tell, tells_each=tells_each)
            contestant.work(tally, stop, options)
            return {"runs": tally.runs, "doubled": tally.doubled, "peak_bytes": _peak_bytes()}
        case _:
            raise ValueError(f"no such order: {order}")


def _peak_bytes() -> int:
    if sys.platform == "linux":
        # not ru_maxrss, which a process has from its parent
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _only_we_write_to_standard_output() -> Callable[..., None]:
    """A function that writes a message; whatever a library prints goes to standard error."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(message: str, **facts: Any) -> None:
        with lock:
            pipe.write(json.dumps({"message": message, **facts}) + "\n")
            pipe.flush()

    return tell


class Loop:
    """One event loop for all that a contestant does, on uvloop where its documents ask for that."""

    def __init__(self, *, uses_uvloop: bool = False) -> None:
        factory = None
        if uses_uvloop:
            import uvloop

            factory = uvloop.new_event_loop
        self._runner = asyncio.Runner(loop_factory=factory)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs it to its end."""
        return self._runner.run(coroutine)
