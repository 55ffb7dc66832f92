"""The journal says what it can, and never raises."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pgq_orm.journal import tell

logger = logging.getLogger(__name__)


@pytest.fixture
def with_job_ids_of_its_own() -> Iterator[None]:
    """An application that gives each record a job_id, which logging lets nobody overwrite."""
    make = logging.getLogRecordFactory()

    def make_with_job_id(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.job_id = "the application's"
        return record

    logging.setLogRecordFactory(make_with_job_id)
    yield
    logging.setLogRecordFactory(make)


@pytest.fixture
def with_a_filter_that_raises() -> Iterator[None]:
    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter's own fault")

    logger.addFilter(refuse)
    yield
    logger.removeFilter(refuse)


def test_it_says_whose_words_they_are_and_of_which_job(caplog: pytest.LogCaptureFixture) -> None:
    tell(logger, logging.WARNING, "Job %d is late", 7, job_id=7)
    [record] = caplog.records
    assert (record.getMessage(), record.levelname) == ("Job 7 is late", "WARNING")
    assert vars(record)["job_id"] == 7
    assert record.filename == "test_journal.py"


def test_it_adds_the_exception_that_is_being_handled(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        tell(logger, logging.ERROR, "Job %d failed", 7, exc_info=True)
    assert "ValueError: no such thing" in caplog.text


@pytest.mark.usefixtures("with_job_ids_of_its_own")
def test_a_record_that_has_the_field_keeps_its_own(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        tell(logger, logging.WARNING, "Job %d failed", 7, exc_info=True, job_id=7)
    [record] = caplog.records
    assert vars(record)["job_id"] == "the application's"
    assert record.getMessage() == "Job 7 failed"
    assert "ValueError: no such thing" in caplog.text


@pytest.mark.usefixtures("with_a_filter_that_raises")
def test_what_cannot_be_logged_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    tell(logger, logging.WARNING, "Job %d is late", 7, job_id=7)
    printed = capsys.readouterr().err
    assert "RuntimeError: a filter's own fault" in printed
    assert "Message: 'Job %d is late'" in printed
    assert "Arguments: (7,)" in printed


@pytest.mark.usefixtures("with_a_filter_that_raises")
def test_without_a_stderr_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    tell(logger, logging.WARNING, "Job %d is late", 7, job_id=7)
