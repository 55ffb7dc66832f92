"""Outlook: a limited entrypoint is looked at when that may change something, and no wish to look gets lost."""

from math import inf

import pytest

from pgq_orm.operations.limited_picks import Hold, Verdict
from pgq_orm.worker.outlook import HELD_SECONDS, Outlook

NOW = 1000.0
POLL_SECONDS = 30.0
HELD = [Verdict.FULL, Verdict.THROTTLED, Verdict.BUSY]


def after(*looks: tuple[Hold, bool], quiet_at: float = 0.0) -> Outlook:
    """The outlook after looks that came to this, and gave jobs or none."""
    outlook = Outlook(POLL_SECONDS)
    for hold, is_given in looks:
        outlook.begin_look()
        outlook.learn(hold, is_given=is_given, now=NOW, quiet_at=quiet_at)
    return outlook


def wait(outlook: Outlook) -> float:
    return outlook.at - NOW


def test_the_first_look_comes_at_once() -> None:
    assert Outlook(POLL_SECONDS).at == 0


def test_without_jobs_the_next_look_is_the_poll() -> None:
    assert wait(after((Hold(Verdict.EMPTY), False))) == POLL_SECONDS


def test_after_a_wake_up_the_next_look_comes_when_its_echo_is_over() -> None:
    assert wait(after((Hold(Verdict.EMPTY), False), quiet_at=NOW + 0.05)) == pytest.approx(0.05)


def test_after_a_find_looks_come_soon_and_then_less_and_less_often() -> None:
    waits = [
        wait(after((Hold(Verdict.EMPTY), True), *[(Hold(Verdict.EMPTY), False)] * more)) for more in range(10)
    ]
    assert waits[0] < 0.05
    assert waits == sorted(waits)
    assert waits[-1] == POLL_SECONDS


def test_a_limit_that_others_use_up_is_asked_about_once_a_second() -> None:
    waits = [wait(after(*[(Hold(Verdict.FULL), False)] * looks)) for looks in (1, 8)]
    assert waits[0] < 0.05
    assert 0.5 * HELD_SECONDS < waits[1] < 1.5 * HELD_SECONDS


def test_whoever_was_given_the_last_token_comes_for_the_next_one_and_others_later() -> None:
    throttled = Hold(Verdict.THROTTLED, 0.1)
    assert wait(after((throttled, False), (throttled, True))) == pytest.approx(0.1)
    assert wait(after(*[(throttled, False)] * 8)) > 0.5
    assert wait(after(*[(Hold(Verdict.THROTTLED, 10.0), False)] * 8)) == pytest.approx(10)


def test_tokens_gather_for_a_moment() -> None:
    assert 0.01 < wait(after((Hold(Verdict.THROTTLED, 0.001), True))) < 0.05


def test_who_found_room_lacking_looks_as_soon_as_there_is_some() -> None:
    assert wait(after((Hold(Verdict.OPEN), True))) == 0


@pytest.mark.parametrize("verdict", HELD)
def test_a_wake_up_makes_no_difference_to_jobs_that_are_held_back(verdict: Verdict) -> None:
    outlook = after((Hold(verdict, 1.0), False))
    outlook.expect_ready()
    assert outlook.at > NOW


def test_a_wake_up_leads_to_a_look_where_there_was_nothing() -> None:
    outlook = after((Hold(Verdict.EMPTY), False))
    outlook.expect_ready()
    assert outlook.at == 0


def test_a_job_that_ends_matters_to_those_that_wait_for_its_place_alone() -> None:
    for verdict in Verdict:
        outlook = after((Hold(verdict, 1.0), False))
        before = outlook.at
        outlook.expect_room()
        assert outlook.at == (0 if verdict is Verdict.FULL else before)


@pytest.mark.parametrize("expect", [Outlook.expect_ready, Outlook.expect_room])
@pytest.mark.parametrize("verdict", Verdict)
def test_what_happens_during_a_look_leads_to_another(expect: object, verdict: Verdict) -> None:
    outlook = after((Hold(Verdict.FULL), False))
    outlook.begin_look()
    assert outlook.at == inf
    assert callable(expect)
    expect(outlook)
    outlook.learn(Hold(verdict, 1.0), is_given=False, now=NOW, quiet_at=0.0)
    assert outlook.at == 0


def test_a_look_without_an_answer_is_repeated() -> None:
    outlook = after((Hold(Verdict.EMPTY), False))
    outlook.begin_look()
    outlook.give_up_look()
    assert outlook.at == 0
