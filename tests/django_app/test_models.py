"""The models: ordinary Django models over the queue's tables."""

from datetime import timedelta

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from pgq_orm.statuses import JobStatus
from pgq_orm_django.models import Dependency, Job, Log, Worker
from tests.django_app.factories import NOON, a_log, a_schedule, a_worker

pytestmark = pytest.mark.usefixtures("db")


def test_the_database_fills_in_all_that_a_new_job_leaves_open() -> None:
    job = Job.objects.create(entrypoint="mail")
    assert (job.lease, job.priority, job.attempts, job.queue) == (0, 0, 0, "default")
    assert job.status == JobStatus.QUEUED
    assert job.created == job.updated == job.execute_after
    assert (job.payload, job.arguments, job.headers, job.worker, job.schedule) == (None,) * 5


def test_every_job_of_a_bulk_create_gets_its_defaults_from_the_database() -> None:
    jobs = Job.objects.bulk_create([Job(entrypoint="mail"), Job(entrypoint="sync", priority=3)])
    assert [(job.status, job.priority) for job in jobs] == [("queued", 0), ("queued", 3)]
    assert len({job.created for job in jobs}) == 1


def test_no_time_of_ours_is_sent() -> None:
    with CaptureQueriesContext(connection) as captured:
        Job.objects.create(entrypoint="mail")
        Job.objects.bulk_create([Job(entrypoint="mail"), Job(entrypoint="mail")])
    inserts = [query["sql"] for query in captured if query["sql"].startswith("INSERT")]
    assert len(inserts) == 2
    assert not any("TIMESTAMP" in sql or "now()" in sql or "timestamptz" in sql for sql in inserts)


def test_two_jobs_of_one_transaction_share_its_time() -> None:
    with transaction.atomic():
        first = Job.objects.create(entrypoint="mail")
        second = Job.objects.create(entrypoint="mail")
    assert first.created == second.created


def test_bytes_and_json_travel_as_python_values() -> None:
    job = Job.objects.create(
        entrypoint="mail", payload=b"\x00\xff", arguments={"to": ["a", None]}, headers={"trace": "1"}
    )
    job.refresh_from_db()
    assert (job.payload, job.arguments, job.headers) == (b"\x00\xff", {"to": ["a", None]}, {"trace": "1"})


def test_intervals_uuids_and_arrays_travel_as_python_values() -> None:
    worker = a_worker(queues=["default", 'it\'s, "odd"'], entrypoints=[])
    log = a_log(duration=timedelta(seconds=1.5), worker_id=worker.id)
    worker.refresh_from_db()
    log.refresh_from_db()
    assert (worker.queues, worker.entrypoints) == (["default", 'it\'s, "odd"'], [])
    assert (log.duration, log.worker_id) == (timedelta(seconds=1.5), worker.id)


def test_none_is_null_and_never_a_json_value() -> None:
    Job.objects.create(entrypoint="mail", arguments=None)
    assert Job.objects.filter(arguments__isnull=True).exists()


def test_a_dependency_has_the_pair_as_its_key() -> None:
    Dependency.objects.create(job_id=2, depends_on=1)
    assert Dependency.objects.get(pk=(2, 1)).on_failure == "cancel"
    with pytest.raises(IntegrityError):
        Dependency.objects.create(job_id=2, depends_on=1)


@pytest.mark.parametrize("columns", [{"status": "odd"}, {"entrypoint": ""}])
def test_the_constraints_of_the_database_hold(columns: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        Job.objects.create(**{"entrypoint": "mail"} | columns)


class TestSavingAJobThatWasReadBefore:
    def pick(self, dsn: str) -> None:
        with psycopg.connect(dsn) as worker:
            worker.execute("UPDATE pgq_job SET status = 'picked', lease = lease + 1, attempts = 2")

    def test_changes_what_is_the_enqueuers(self) -> None:
        job = Job.objects.create(entrypoint="mail")
        job.priority, job.execute_after = 5, NOON
        job.save()
        job.refresh_from_db()
        assert (job.priority, job.execute_after) == (5, NOON)

    def test_leaves_a_workers_lease_alone(self, db: str) -> None:
        job = Job.objects.create(entrypoint="mail")
        self.pick(db)
        job.priority = 5
        job.save()
        job.refresh_from_db()
        assert (job.priority, job.status, job.lease, job.attempts) == (5, "picked", 1, 2)

    def test_does_not_add_it_again_once_it_is_done(self, db: str) -> None:
        job = Job.objects.create(entrypoint="mail")
        Job.objects.all().delete()
        with pytest.raises(DatabaseError):
            job.save()
        assert not Job.objects.exists()

    def test_writes_a_workers_column_if_told_so(self) -> None:
        job = Job.objects.create(entrypoint="mail")
        job.attempts = 4
        job.save(update_fields=["attempts"])
        job.refresh_from_db()
        assert job.attempts == 4


class TestRelations:
    def test_lead_to_the_other_row(self) -> None:
        worker, schedule = a_worker(), a_schedule()
        job = Job.objects.create(entrypoint="mail", worker=worker, schedule=schedule)
        log = a_log(job=job, worker=worker)
        job = Job.objects.get()
        assert (job.worker_id, job.worker, job.schedule) == (worker.id, worker, schedule)
        assert (log.job_id, Log.objects.get().job) == (job.id, job)

    def test_lead_back(self) -> None:
        worker = a_worker()
        job = Job.objects.create(entrypoint="mail", worker=worker)
        log = a_log(job=job)
        assert list(worker.jobs.all()) == [job]
        assert list(job.logs.all()) == [log]

    def test_work_in_filters_and_joins(self) -> None:
        job = Job.objects.create(entrypoint="mail", priority=5, worker=a_worker(hostname="there"))
        log = a_log(job=job)
        a_log(job_id=999)
        assert list(Log.objects.filter(job__priority__gt=3)) == [log]
        assert list(Log.objects.filter(job__worker__hostname="there")) == [log]
        assert list(Job.objects.filter(logs__status="successful")) == [job]

    def test_keep_the_rows_whose_other_side_is_gone(self) -> None:
        job = Job.objects.create(entrypoint="mail")
        a_log(job=job)
        a_log(job_id=999)
        selected = [log.job for log in Log.objects.select_related("job").order_by("id")]
        prefetched = [log.job for log in Log.objects.prefetch_related("job").order_by("id")]
        one_by_one = [log.job for log in Log.objects.order_by("id")]
        assert selected == prefetched == one_by_one == [job, None]

    def test_select_related_asks_once(self) -> None:
        Job.objects.create(entrypoint="mail", worker=a_worker())
        with CaptureQueriesContext(connection) as captured:
            assert [job.worker.hostname for job in Job.objects.select_related("worker")] == ["here"]
        assert len(captured) == 1

    def test_deleting_one_side_leaves_the_other(self) -> None:
        job = Job.objects.create(entrypoint="mail", worker=a_worker())
        a_log(job=job)
        Worker.objects.all().delete()
        job.delete()
        assert Log.objects.count() == 1

    def test_a_workflows_edges_lead_both_ways(self) -> None:
        parent, child = Job.objects.bulk_create(
            [Job(entrypoint="mail"), Job(entrypoint="mail", status="waiting")]
        )
        Dependency.objects.create(job_id=child.id, depends_on=parent.id)
        assert [edge.parent for edge in child.dependencies.all()] == [parent]
        assert [edge.job for edge in parent.dependents.all()] == [child]


@pytest.mark.usefixtures("other_db")
def test_the_models_work_on_another_database() -> None:
    Job.objects.using("other").create(entrypoint="mail")
    assert (Job.objects.count(), Job.objects.using("other").count()) == (0, 1)
    assert connections["other"].alias == "other"
