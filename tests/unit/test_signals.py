"""Ctrl-C while something is shown again and again: it ends between two looks, and at once when pressed twice."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pgq_orm.processes.signals import until_interrupted


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """As in a program of one's own, whatever the tests before this one have left."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_one_lets_what_runs_finish() -> None:
    usual = signal.getsignal(signal.SIGINT)
    looks: list[str] = []
    for _ in until_interrupted(0.01):
        looks.append("begun")
        if len(looks) == 3:  # in the second look
            press_ctrl_c()
        looks.append("finished")
    assert looks == ["begun", "finished"] * 2
    assert signal.getsignal(signal.SIGINT) is usual


def test_the_second_one_does_not() -> None:
    with pytest.raises(KeyboardInterrupt):
        for _ in until_interrupted(0.01):
            for _ in range(100):  # two that come at once are one
                press_ctrl_c()
                time.sleep(0.001)
            raise AssertionError("went on")


def test_one_in_between_ends_the_wait() -> None:
    def press_while_it_is_heeded(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            press_ctrl_c()

    ticks = until_interrupted(3600)
    usual = signal.signal(signal.SIGALRM, press_while_it_is_heeded)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    assert list(ticks) == []
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, usual)
