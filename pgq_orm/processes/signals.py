"""Signals: heeded whatever runs when they come, be it a handler that blocks the event loop."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def until_interrupted(seconds: float) -> Iterator[None]:
    """Ticks every so many seconds until Ctrl-C, which lets the last one finish; a second Ctrl-C does not.

    Not by KeyboardInterrupt, which is lost where a driver's clean-up swallows it. For the main thread.
    """
    interrupted = threading.Event()
    usual = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        while not interrupted.wait(seconds):
            yield
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def heeding_signals(obey: Callable[[], None]) -> Iterator[None]:
    """Calls `obey` for each SIGTERM and SIGINT, in another thread; nothing happens outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()

    def note(number: int, frame: FrameType | None) -> None:
        # Nothing else: whatever takes a lock might wait for the very code that the signal has interrupted.
        os.write(writing, b"!")

    def heed() -> None:
        while os.read(reading, 1):
            obey()
        os.close(reading)

    threading.Thread(target=heed, name="pgq-signals", daemon=True).start()
    previous = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(writing)
