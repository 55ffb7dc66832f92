"""Models: a job made from a row is a Job like any other."""

import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from pgq_orm.models import Job, job_of

VALUES = tuple(range(len(fields(Job))))


def test_a_job_of_a_row_is_what_the_class_makes_of_it() -> None:
    job = job_of(VALUES)
    assert type(job) is Job
    assert job == Job(*VALUES)  # type: ignore[arg-type]
    assert hash(job) == hash(Job(*VALUES))  # type: ignore[arg-type]
    assert repr(job) == repr(Job(*VALUES))  # type: ignore[arg-type]


def test_a_job_of_a_row_has_the_defaults_of_what_the_row_lacks() -> None:
    assert job_of(VALUES[:10]) == Job(*VALUES[:10])  # type: ignore[arg-type]


def test_a_job_of_a_row_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        job_of(VALUES).id = 5  # type: ignore[misc]


def test_a_job_of_a_row_can_be_replaced_and_sent_to_another_process() -> None:
    job = job_of(VALUES)
    assert replace(job, id=99).id == 99
    assert pickle.loads(pickle.dumps(job)) == job
