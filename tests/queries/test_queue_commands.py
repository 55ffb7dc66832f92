"""`pgq queues`: what an operator types to pause, resume and limit queues."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from pgq_orm.cli.app import app
from pgq_orm.errors import InvalidQueueError
from pgq_orm.queue_words import parse_resume_at
from tests.queries.workshop import Workshop


@pytest.fixture
def pgq(dsn: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    """Types a command about the queues of the test's database."""
    monkeypatch.setenv("PGQ_DSN", dsn)

    def pgq(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["queues", *arguments])

    return pgq


def test_queues_are_paused_listed_and_resumed(pgq, workshop: Workshop) -> None:
    def listed() -> dict[str, tuple[int | None, str]]:
        queues = json.loads(pgq("list", "--json").output)
        return {queue["name"]: (queue["concurrency"], queue["pause"]) for queue in queues}

    assert listed() == {}
    assert pgq("list").output == "Nothing is said of any queue: none is paused, or has limits.\n"
    for queue in ("mail", "reports"):
        workshop.add(queue=queue)
    assert pgq("pause", "mail", "reports").output == "paused: mail, reports\n"
    assert listed() == {"mail": (None, "paused"), "reports": (None, "paused")}
    assert pgq("resume", "mail", "unknown").output == "resumed: mail\n"
    assert pgq("resume", "mail").output == "resumed: none\n"
    assert listed() == {"mail": (None, ""), "reports": (None, "paused")}


def test_a_pause_may_have_an_end(pgq, workshop: Workshop) -> None:
    assert pgq("pause", "mail", "--until", "2h").exit_code == 0
    assert workshop.value("SELECT resume_at - updated FROM pgq_queue") == timedelta(hours=2)
    assert pgq("pause", "mail", "--until", "2100-01-31T08:00+01:00").exit_code == 0
    assert "paused until 2100-01-31 " in pgq("list").output
    [mail] = json.loads(pgq("list", "--json").output)
    assert (mail["paused"], datetime.fromisoformat(mail["resume_at"])) == (
        True,
        datetime(2100, 1, 31, 7, tzinfo=UTC),
    )


def test_a_queue_that_nobody_knew_may_be_a_slip_of_the_pen(pgq, workshop: Workshop) -> None:
    assert pgq("pause", "xyz").output == "paused: xyz\nxyz: no such queue was known, it is created\n"
    assert pgq("pause", "xyz", "default").output == "paused: default, xyz\n"
    workshop.add(queue="reports")
    assert pgq("limit", "reprots", "--rate", "5").output.splitlines() == [
        "reprots: 5 start in 1 s",
        "reprots: no such queue was known, it is created; did you mean 'reports'?",
    ]
    workshop.connection.execute("UPDATE pgq_worker SET queues = '{letters}'")
    assert pgq("pause", "letters").output == "paused: letters\n"


def test_limits_are_changed_one_by_one(pgq, workshop: Workshop) -> None:
    workshop.add(queue="mail")
    assert pgq("limit", "mail", "--concurrency", "4").output == "mail: 4 at a time in each worker\n"
    assert pgq("limit", "mail", "--rate", "100", "--window", "60").output == (
        "mail: 4 at a time in each worker, 100 start in 60 s\n"
    )
    [mail] = json.loads(pgq("list", "--json").output)
    assert (mail["concurrency"], mail["rate_limit"], mail["rate_limit_window_seconds"]) == (4, 100, 60.0)
    assert all(said in pgq("list").output for said in (" mail ", " 4 ", " 100 start in 60 s "))
    assert pgq("limit", "mail", "--concurrency", "0").output == "mail: 100 start in 60 s\n"
    assert pgq("limit", "mail", "--rate", "0").output == "mail: no limits\n"


def test_what_cannot_be_is_one_line_that_says_what_to_do(pgq) -> None:
    failed = pgq("pause", "mail", "--until", "soon")
    assert failed.exit_code == 1
    assert failed.output.startswith("pgq: cannot read 'soon': expected a time such as 30m")
    assert pgq("pause", "").output.startswith("pgq: a queue must have 1 to 500 characters")
    assert "has no time zone" in pgq("pause", "mail", "--until", "2100-01-31T08:00").output
    assert pgq("list").output.startswith("Nothing")


@pytest.mark.parametrize(
    ("text", "resume_at"),
    [
        ("90s", timedelta(seconds=90)),
        (" 30 m ", timedelta(minutes=30)),
        ("1d", timedelta(days=1)),
        ("2100-01-01T00:00Z", datetime(2100, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_people_write_them(text: str, resume_at: object) -> None:
    assert parse_resume_at(text) == resume_at


@pytest.mark.parametrize(
    "text", ["", "2", "h", "-2h", "2w", "2h30m", "9999999999d", "tomorrow", "2100-13-01"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidQueueError):
        parse_resume_at(text)
