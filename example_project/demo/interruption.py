"""Interruption: Ctrl-C and its kin end the demo once, and never in the middle of clearing up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_holders = 0  # main thread only, like everything here
_is_due = False


def listen() -> None:
    """From now on each of SIGNALS raises KeyboardInterrupt: at once, or as soon as nobody holds it."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # which is what nohup does
            signal.signal(number, _interrupt)


@contextmanager
def held() -> Iterator[None]:
    """Keeps an interruption waiting until the block has ended."""
    global _holders
    _holders += 1
    try:
        yield
    finally:
        _holders -= 1
        if _is_due and not _holders:
            _raise()


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _is_due
    _is_due = True
    if not _holders:
        _raise()


def _raise() -> None:
    global _is_due
    _is_due = False
    raise KeyboardInterrupt
