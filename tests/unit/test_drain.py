"""Drain: nothing is left only when every source was found empty by looks that nothing could have deceived."""

from pgq_orm.worker.drain import UNLIMITED, Drain


class Worker:
    """A drain, whether its worker is idle, and what came of it."""

    def __init__(self, *limited: str) -> None:
        self.is_idle = True
        self.is_drained = False
        self.drain = Drain(limited=limited, is_idle=lambda: self.is_idle, on_drained=self._note)

    def _note(self) -> None:
        self.is_drained = True


def test_without_limits_one_look_in_vain_is_enough() -> None:
    worker = Worker()
    worker.drain.begin_look().end(empty={UNLIMITED})
    assert worker.is_drained


def test_every_source_must_be_empty() -> None:
    worker = Worker("mail")
    worker.drain.begin_look().end(empty={UNLIMITED})
    worker.drain.begin_look().end(empty=(), others={"mail"})
    assert not worker.is_drained
    worker.drain.begin_look().end(empty={"mail"})
    assert worker.is_drained


def test_a_look_that_began_while_something_ran_says_nothing() -> None:
    worker = Worker()
    worker.is_idle = False
    look = worker.drain.begin_look()
    worker.is_idle = True
    look.end(empty={UNLIMITED})
    assert not worker.is_drained


def test_a_look_that_ends_while_something_runs_says_nothing() -> None:
    worker = Worker()
    look = worker.drain.begin_look()
    worker.is_idle = False
    look.end(empty={UNLIMITED})
    assert not worker.is_drained


def test_what_was_found_empty_before_a_pick_may_have_been_filled_by_its_job() -> None:
    worker = Worker("mail")
    worker.drain.begin_look().end(empty={"mail"})
    worker.drain.picked()
    worker.drain.begin_look().end(empty={UNLIMITED})
    assert not worker.is_drained


def test_an_answer_that_was_asked_for_before_a_pick_comes_too_late() -> None:
    worker = Worker("mail")
    slow = worker.drain.begin_look()
    worker.drain.picked()
    worker.drain.begin_look().end(empty={UNLIMITED})
    slow.end(empty={"mail"})
    assert not worker.is_drained


def test_a_source_in_which_jobs_turn_up_is_no_longer_empty() -> None:
    worker = Worker("mail")
    worker.drain.begin_look().end(empty={"mail"})
    worker.drain.begin_look().end(empty=(), others={"mail"})
    worker.drain.begin_look().end(empty={UNLIMITED})
    assert not worker.is_drained
