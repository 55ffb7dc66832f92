"""Backoff: delays grow, stay within their limits, and leave something to chance."""

import re
from datetime import timedelta
from typing import Any

import pytest

from pgq_orm.errors import RegistrationError
from pgq_orm.retries import Backoff

STEADY = Backoff(initial=timedelta(seconds=1), maximum=timedelta(seconds=10), jitter=0)


def test_each_delay_doubles_until_the_longest() -> None:
    assert [STEADY.delay_seconds(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_factor_can_be_chosen() -> None:
    backoff = Backoff(initial=timedelta(seconds=2), maximum=timedelta(hours=1), factor=3, jitter=0)
    assert [backoff.delay_seconds(failures) for failures in range(1, 4)] == [2, 6, 18]


def test_a_factor_of_one_keeps_the_delay() -> None:
    assert Backoff(initial=timedelta(seconds=5), factor=1, jitter=0).delay_seconds(100) == 5


def test_any_number_of_failures_is_within_reach() -> None:
    assert STEADY.delay_seconds(10**9) == 10


@pytest.mark.parametrize("jitter", [0.1, 0.5, 1.0])
def test_chance_takes_no_more_than_its_share(jitter: float) -> None:
    backoff = Backoff(initial=timedelta(seconds=8), maximum=timedelta(seconds=8), jitter=jitter)
    delays = [backoff.delay_seconds(1) for _ in range(200)]
    assert all(8 * (1 - jitter) <= delay <= 8 for delay in delays)
    assert max(delays) - min(delays) > 8 * jitter / 2


def test_by_default_a_crowd_does_not_come_back_as_one() -> None:
    assert len({Backoff().delay_seconds(5) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initial": 2}, "initial must be a timedelta, such as timedelta(seconds=2), not 2"),
        ({"maximum": 0.5}, "maximum must be a timedelta, such as timedelta(seconds=0.5), not 0.5"),
        ({"initial": "2s"}, "initial must be a timedelta, such as timedelta(seconds=5), not '2s'"),
        ({"initial": timedelta(seconds=-1)}, "initial must not be negative"),
        (
            {"factor": timedelta(2)},
            "factor must be a number above 0, at most 1000, such as 2.0, not datetime",
        ),
        ({"factor": 0}, "factor must be a number above 0"),
        ({"factor": 1e6}, "factor must be a number above 0, at most 1000"),
        ({"jitter": "full"}, "jitter must be a number from 0 to 1, such as 0.5, not 'full'"),
        ({"jitter": 50}, "jitter must be a number from 0 to 1"),
    ],
)
def test_what_cannot_be_reckoned_with_is_refused_where_it_is_written(options: Any, said: str) -> None:
    with pytest.raises(RegistrationError, match=re.escape(said)):
        Backoff(**options)


def test_the_steepest_backoff_does_not_overflow() -> None:
    steepest = Backoff(initial=timedelta.max, maximum=timedelta.max, factor=1_000, jitter=0)
    assert steepest.delay_seconds(10**9) == timedelta.max.total_seconds()
