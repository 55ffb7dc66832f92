"""Enqueueing one by one: as many jobs as a generator gives, without holding them."""

from collections.abc import Iterator
from typing import Any

import pytest

from pgq_orm.enqueueing import NewJob
from pgq_orm.errors import DuplicateJobError, InvalidJobError
from pgq_orm.operations.additions import ENQUEUE_BATCH
from tests.queries.askers import Asker
from tests.queries.workshop import Workshop


def count(workshop: Workshop) -> Any:
    return workshop.value("SELECT count(*) FROM pgq_job")


async def test_each_job_is_what_was_said_of_it(asker: Asker, workshop: Workshop) -> None:
    jobs: list[NewJob] = [
        {"entrypoint": "mail"},
        {"entrypoint": "greet", "priority": 3, "payload": b"p", "queue": "slow", "headers": {"h": 1}},
        {"entrypoint": "mail", "arguments": {"to": "ann"}, "max_attempts": 2, "concurrency_key": "ann"},
    ]
    assert await asker.ask("enqueue_each", iter(jobs)) == 3
    await asker.commit()
    rows = workshop.connection.execute(
        "SELECT entrypoint, priority, payload, queue, headers, arguments, max_attempts, concurrency_key"
        " FROM pgq_job ORDER BY id"
    ).fetchall()
    assert [tuple(row) for row in rows] == [
        ("mail", 0, None, "default", None, None, None, None),
        ("greet", 3, b"p", "slow", {"h": 1}, None, None, None),
        ("mail", 0, None, "default", None, {"to": "ann"}, 2, "ann"),
    ]


async def test_no_more_is_taken_from_the_generator_than_one_statement_adds(
    asker: Asker, workshop: Workshop
) -> None:
    most = ENQUEUE_BATCH * 2 + 500
    given = 0

    def jobs() -> Iterator[NewJob]:
        nonlocal given
        for _ in range(most):
            given += 1
            yield {"entrypoint": "mail"}
        raise LookupError("the source broke off")

    with pytest.raises(LookupError):
        await asker.ask("enqueue_each", jobs())
    assert given == most
    await asker.rollback()
    assert count(workshop) == 0


async def test_it_is_part_of_the_callers_transaction(asker: Asker, workshop: Workshop) -> None:
    assert await asker.ask("enqueue_each", ({"entrypoint": "mail"} for _ in range(ENQUEUE_BATCH + 1))) == 1001
    assert count(workshop) == 0
    await asker.commit()
    assert count(workshop) == 1001


async def test_duplicates_are_skipped_or_refused_as_by_enqueue(asker: Asker, workshop: Workshop) -> None:
    workshop.add("mail", dedupe_key="taken")
    jobs = [{"entrypoint": "mail", "dedupe_key": key} for key in ("free", "taken")]
    assert await asker.ask("enqueue_each", jobs, on_conflict="skip") == 1
    with pytest.raises(DuplicateJobError, match="taken"):
        await asker.ask("enqueue_each", jobs)
    await asker.commit()
    assert count(workshop) == 2


async def test_nothing_is_enqueued_for_nothing(asker: Asker) -> None:
    assert await asker.ask("enqueue_each", []) == 0


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ({"entrypoint": "mail", "prio": 1, "at": 2}, "has no 'at', 'prio': it can have entrypoint, payload"),
        ({"payload": b"p"}, "entrypoint must be a string, not NoneType"),
        ({"entrypoint": "mail", "payload": "text"}, "payload must be bytes or None, not str"),
        ("mail", "takes a mapping for each job, such as NewJob, not 'mail'"),
    ],
)
async def test_a_job_that_is_none_is_refused(
    asker: Asker, workshop: Workshop, job: Any, complaint: str
) -> None:
    with pytest.raises(InvalidJobError, match=complaint):
        await asker.ask("enqueue_each", [{"entrypoint": "mail"}, job])
    await asker.commit()
    assert count(workshop) == 0
