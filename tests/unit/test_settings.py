"""Settings: what no worker could work with is refused before one starts."""

import re
from datetime import timedelta
from typing import Any

import pytest

from pgq_orm.errors import RegistrationError
from pgq_orm.worker.settings import QueueExecutionMode, WorkerSettings


def test_a_lease_that_would_outlast_everybodys_patience_is_refused() -> None:
    WorkerSettings(heartbeat_timeout=timedelta(days=365))
    with pytest.raises(RegistrationError, match="heartbeat_timeout must be at most 365 days"):
        WorkerSettings(heartbeat_timeout=timedelta.max)


DURATIONS = ("dequeue_timeout", "heartbeat_timeout", "log_retention", "max_time", "shutdown_timeout")


@pytest.mark.parametrize("name", DURATIONS)
def test_a_number_in_place_of_a_duration_is_told_what_to_write(name: str) -> None:
    said = re.escape(f"{name} must be a timedelta, such as timedelta(seconds=20), not 20")
    wrong: Any = {name: 20}
    with pytest.raises(RegistrationError, match=said):
        WorkerSettings(**wrong)


@pytest.mark.parametrize("name", ["batch_size", "max_concurrent_tasks", "crash_limit", "max_jobs"])
def test_what_is_no_integer_counts_nothing(name: str) -> None:
    wrong: Any = {name: "5"}
    with pytest.raises(RegistrationError, match=f"{name} must be an integer, not '5'"):
        WorkerSettings(**wrong)


@pytest.mark.parametrize(("mode", "guess"), [("drian", ": did you mean 'drain'?"), ("once", ""), (None, "")])
def test_a_mode_that_there_is_not_is_told_the_choices(mode: Any, guess: str) -> None:
    said = f"mode must be 'continuous' or 'drain', not {mode!r}{guess}"
    with pytest.raises(RegistrationError, match=f"^{re.escape(said)}$"):
        QueueExecutionMode(mode)
