"""Enqueueing: a job exists exactly when the caller's transaction commits, whichever door it came through."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction
from django.test import override_settings

from pgq_orm.errors import (
    DuplicateJobError,
    InvalidJobError,
    SchemaError,
    SessionError,
    UnknownEntrypointError,
)
from pgq_orm_django import acancel, aenqueue, cancel, enqueue, wait_for
from pgq_orm_django.models import Job, Log
from tests.django_app.factories import a_worker
from tests.django_app.shop.tasks import greet

pytestmark = pytest.mark.usefixtures("db")

Door = Callable[[], object]


async def acreate() -> None:
    await Job.objects.acreate(entrypoint="mail")


DOORS: dict[str, Door] = {
    "enqueue": lambda: enqueue("mail"),
    "enqueue many": lambda: enqueue(["mail", "mail"]),
    "aenqueue": lambda: async_to_sync(aenqueue)("mail"),
    "create": lambda: Job.objects.create(entrypoint="mail"),
    "acreate": lambda: async_to_sync(acreate)(),
    "bulk_create": lambda: Job.objects.bulk_create([Job(entrypoint="mail"), Job(entrypoint="mail")]),
}
at_every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())


@pytest.fixture
def stranger(db: str) -> Iterator[psycopg.Connection]:
    """A connection that has nothing to do with Django's."""
    with psycopg.connect(db, autocommit=True) as connection:
        yield connection


def jobs_seen_by(stranger: psycopg.Connection) -> int:
    return stranger.execute("SELECT count(*) FROM pgq_job").fetchone()[0]  # type: ignore[index]


@at_every_door
class TestAtEveryDoor:
    def test_a_job_exists_once_the_block_commits_and_not_before(
        self, door: Door, stranger: psycopg.Connection
    ) -> None:
        with transaction.atomic():
            door()
            assert Job.objects.exists()
            assert jobs_seen_by(stranger) == 0
        assert jobs_seen_by(stranger) > 0

    def test_a_job_is_gone_when_the_block_rolls_back(self, door: Door, stranger: psycopg.Connection) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            door()
            raise ZeroDivisionError
        assert jobs_seen_by(stranger) == 0

    def test_rolling_back_a_savepoint_takes_its_job_along(
        self, door: Door, stranger: psycopg.Connection
    ) -> None:
        with transaction.atomic():
            enqueue("send_receipt")
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                door()
                raise ZeroDivisionError
        assert jobs_seen_by(stranger) == 1

    def test_outside_of_a_transaction_a_job_exists_at_once(
        self, door: Door, stranger: psycopg.Connection
    ) -> None:
        door()
        assert jobs_seen_by(stranger) > 0

    def test_committing_wakes_workers(self, door: Door, stranger: psycopg.Connection) -> None:
        stranger.execute("LISTEN pgq")
        with transaction.atomic():
            door()
            assert not list(stranger.notifies(timeout=0.05))
        assert [notice.payload for notice in stranger.notifies(timeout=30, stop_after=1)] == [""]


class TestTheAnswer:
    def test_is_an_id_for_one_job(self) -> None:
        assert enqueue("mail") == Job.objects.get().id

    def test_is_a_list_for_lists(self) -> None:
        assert enqueue(["mail", "send_receipt"], [b"1", None], [1, 2]) == [1, 2]
        assert enqueue("mail", [b"3", b"4"]) == [3, 4]
        assert enqueue("mail", arguments=[{"to": "a"}]) == [5]
        assert enqueue([]) == []
        assert list(Job.objects.values_list("id", "entrypoint", "payload", "priority").order_by("id"))[
            :3
        ] == [
            (1, "mail", b"1", 1),
            (2, "send_receipt", None, 2),
            (3, "mail", b"3", 0),
        ]

    def test_is_none_for_a_duplicate_that_was_skipped(self) -> None:
        assert enqueue("mail", dedupe_key="a", on_conflict="skip") == 1
        assert enqueue("mail", dedupe_key="a", on_conflict="skip") is None
        added = enqueue("mail", dedupe_key=["a", "b"], on_conflict="skip")
        assert added == [None, Job.objects.get(dedupe_key="b").id]

    def test_of_many_thousands_is_in_order(self) -> None:
        payloads = [str(number).encode() for number in range(2_500)]
        job_ids = enqueue("mail", payloads)
        stored = dict(Job.objects.values_list("id", "payload"))
        assert [stored[job_id] for job_id in job_ids if job_id] == payloads


def test_everything_that_can_be_said_of_a_job_is_stored() -> None:
    noon = datetime(2100, 1, 1, 12, tzinfo=UTC)
    enqueue(
        "mail",
        b"\x00\xff",
        7,
        noon,
        "key",
        {"trace": "1"},
        arguments={"to": ["a@example.com"]},
        queue="slow",
        max_attempts=3,
    )
    job = Job.objects.get()
    assert (job.payload, job.priority, job.execute_after, job.dedupe_key) == (b"\x00\xff", 7, noon, "key")
    assert (job.headers, job.arguments) == ({"trace": "1"}, {"to": ["a@example.com"]})
    assert (job.queue, job.max_attempts) == ("slow", 3)


def test_a_delay_counts_from_the_databases_now() -> None:
    enqueue("mail", execute_after=timedelta(hours=1))
    job = Job.objects.get()
    assert job.execute_after - job.created == timedelta(hours=1)


class TestADuplicate:
    @pytest.fixture(autouse=True)
    def _first(self, db: str) -> None:
        enqueue("mail", b"first", dedupe_key="a")

    def test_is_refused_without_harm_to_the_transaction(self) -> None:
        with transaction.atomic():
            enqueue("send_receipt")
            with pytest.raises(DuplicateJobError, match="'a'"):
                enqueue("mail", dedupe_key="a")
            enqueue("send_receipt")
        assert Job.objects.for_entrypoint("send_receipt").count() == 2

    def test_keeps_the_others_of_its_call_out(self, stranger: psycopg.Connection) -> None:
        with pytest.raises(DuplicateJobError):
            enqueue("mail", dedupe_key=["b", "a", "c"])
        assert jobs_seen_by(stranger) == 1

    def test_never_shows_half_of_its_call(self, stranger: psycopg.Connection) -> None:
        with transaction.atomic(), pytest.raises(DuplicateJobError):
            enqueue("mail", dedupe_key=["b", "a", "c"])
        assert Job.objects.get().dedupe_key == "a"

    def test_can_replace_the_one_that_waits(self) -> None:
        assert enqueue("mail", b"second", dedupe_key="a", on_conflict="update") == 1
        assert Job.objects.get().payload == b"second"

    def test_cannot_replace_one_that_runs(self) -> None:
        Job.objects.update(status="picked")
        with pytest.raises(DuplicateJobError, match="already picked"):
            enqueue("mail", b"second", dedupe_key="a", on_conflict="update")


class TestWhatCannotBeMeant:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"payload": "text"}, "payload must be bytes"),
            ({"execute_after": datetime(2026, 1, 1)}, "naive datetime"),  # noqa: DTZ001 - that is the point
            ({"arguments": {"to": "\0"}}, "NUL"),
            ({"payload": [b"1", b"2"], "priority": [1]}, "lists of different lengths"),
        ],
    )
    def test_is_refused_before_anything_is_sent(self, given: dict[str, Any], said: str) -> None:
        with transaction.atomic():
            with pytest.raises(InvalidJobError, match=said):
                enqueue("mail", **given)
            enqueue("mail")
        assert Job.objects.count() == 1

    def test_a_name_without_handler_is_refused(self) -> None:
        with pytest.raises(UnknownEntrypointError, match="did you mean 'send_receipt'"):
            enqueue("send_reciept")
        with pytest.raises(UnknownEntrypointError, match="tasks module of an installed app"):
            enqueue(["mail", "nobody"])
        assert not Job.objects.exists()

    def test_a_name_without_handler_is_allowed_where_others_handle_it(self) -> None:
        with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
            enqueue("of_another_program")
        assert Job.objects.get().entrypoint == "of_another_program"

    def test_a_broken_block_takes_no_job(self) -> None:
        with transaction.atomic():
            transaction.set_rollback(True)
            with pytest.raises(
                transaction.TransactionManagementError, match="until the end of the 'atomic' block"
            ):
                enqueue("mail")

    def test_a_database_that_is_no_postgresql_takes_none(self) -> None:
        with pytest.raises(SessionError, match="SQLite"):
            enqueue("mail", using="foreign")

    @pytest.mark.usefixtures("bare_db")
    def test_missing_tables_name_the_command(self) -> None:
        with pytest.raises(SchemaError, match=r"manage\.py migrate pgq_orm_django --database=other"):
            enqueue("mail", using="other")

    @pytest.mark.parametrize(
        "block",
        [
            lambda: enqueue("mail"),
            lambda: enqueue(["mail", "mail"]),
            lambda: cancel(1),
            lambda: wait_for(1, None),
            lambda: greet.enqueue("7", on=date(2026, 1, 1)),
        ],
        ids=["enqueue", "enqueue many", "cancel", "wait_for", "a task"],
    )
    def test_async_code_is_told_what_to_await(self, block: Callable[[], object]) -> None:
        async def view() -> None:
            block()

        with pytest.raises(SynchronousOnlyOperation, match=r"`await aenqueue\(…\)` for enqueue\(…\)"):
            async_to_sync(view)()


class TestAnotherDatabase:
    @pytest.fixture(autouse=True)
    def _other(self, db: str, other_db: str) -> None:
        pass

    def test_takes_the_job_into_its_own_transaction(self) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic(using="other"):
            enqueue("mail", using="other")
            enqueue("mail")
            raise ZeroDivisionError
        assert (Job.objects.count(), Job.objects.using("other").count()) == (1, 0)

    def test_is_meant_when_the_settings_name_it(self) -> None:
        with override_settings(PGQ={"DATABASE": "other"}):
            enqueue("mail")
            async_to_sync(aenqueue)("mail")
        assert (Job.objects.count(), Job.objects.using("other").count()) == (0, 2)

    def test_is_meant_when_a_router_names_it(self) -> None:
        with override_settings(
            PGQ={"DATABASE": "other"}, DATABASE_ROUTERS=["pgq_orm_django.routers.QueueRouter"]
        ):
            enqueue("mail")
            assert Job.objects.count() == 1
        assert Job.objects.using("other").count() == 1


class TestCanceling:
    def test_ends_a_job_that_waits(self) -> None:
        job_id = enqueue("mail", b"kept")
        assert cancel(job_id) == {job_id: False}
        log = Log.objects.canceled().get()
        assert (log.job_id, log.payload, Job.objects.exists()) == (job_id, b"kept", False)

    def test_asks_a_running_one_to_stop(self) -> None:
        job = Job.objects.create(entrypoint="mail", status="picked", worker=a_worker())
        assert async_to_sync(acancel)([job.id, 999]) == {job.id: True}
        assert Job.objects.get().cancel_requested

    def test_is_part_of_the_callers_transaction(self) -> None:
        job_id = enqueue("mail")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            cancel([job_id])
            raise ZeroDivisionError
        assert Job.objects.get().id == job_id


def test_enqueueing_one_job_costs_one_statement(django_statements: Callable[[], list[str]]) -> None:
    enqueue("mail")
    assert len(django_statements()) == 1
    enqueue(["mail"] * 10)
    assert len(django_statements()) == 4  # BEGIN and COMMIT around it


@pytest.fixture
def django_statements() -> Iterator[Callable[[], list[str]]]:
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        yield lambda: [query["sql"] for query in captured]
