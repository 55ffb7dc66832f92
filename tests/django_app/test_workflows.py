"""Workflows in Django: in the open transaction, with models, QuerySets and the admin."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings

from pgq_orm.errors import DuplicateJobError, UnknownEntrypointError, WorkflowError
from pgq_orm.workflows import Workflow, chain, group
from pgq_orm_django import (
    aenqueue_workflow,
    aworkflow_status,
    cancel_workflow,
    enqueue,
    enqueue_workflow,
    parents,
    retry_workflow,
    workflow_status,
)
from pgq_orm_django.models import Dependency, Job, Log

pytestmark = [pytest.mark.usefixtures("db"), pytest.mark.filterwarnings("error")]


@pytest.fixture(autouse=True)
def any_entrypoint() -> Iterator[None]:
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        yield


def test_a_workflow_is_part_of_the_open_transaction() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        enqueue_workflow(chain("extract", "load"))
        raise ZeroDivisionError
    assert not Job.objects.exists()
    handle = enqueue_workflow(chain("extract", "load"))
    assert list(Job.objects.for_workflow(handle.id).waiting().values_list("name", flat=True)) == ["load"]


def test_a_name_that_nobody_registers_is_refused() -> None:
    with override_settings(PGQ={}), pytest.raises(UnknownEntrypointError, match="'laod'"):
        enqueue_workflow(chain("laod"))


def test_a_refusal_leaves_the_transaction_usable() -> None:
    with transaction.atomic():
        enqueue("mine", dedupe_key="nightly")
        flow = Workflow()
        flow.add("load", dedupe_key="nightly", depends_on=flow.add("extract"))
        with pytest.raises(DuplicateJobError):
            enqueue_workflow(flow)
        with pytest.raises(WorkflowError):
            workflow_status("nightly")  # type: ignore[arg-type]
    assert [job.entrypoint for job in Job.objects.all()] == ["mine"]
    assert not Dependency.objects.exists()


def test_without_a_transaction_all_of_it_is_added_or_nothing() -> None:
    enqueue("mine", dedupe_key="nightly")
    flow = Workflow()
    flow.add("load", dedupe_key="nightly", depends_on=flow.add("extract"))
    with pytest.raises(DuplicateJobError):
        enqueue_workflow(flow)
    child = enqueue("after", depends_on=[Job.objects.get().pk])
    assert isinstance(child, int)
    assert set(Job.objects.values_list("entrypoint", "status")) == {("mine", "queued"), ("after", "waiting")}


def test_each_function_may_be_awaited() -> None:
    async def enqueue_and_look() -> str:
        handle = await aenqueue_workflow(chain("extract", "load"))
        return (await aworkflow_status(handle.id)).state

    assert async_to_sync(enqueue_and_look)() == "running"


def test_cancelling_and_retrying() -> None:
    handle = enqueue_workflow(chain("extract", "load"))
    assert set(cancel_workflow(handle.id).values()) == {False}
    assert Log.objects.for_workflow(handle.id).canceled().count() == 2
    assert len(retry_workflow(handle.id)) == 2
    assert [job.status for job in workflow_status(handle.id).jobs] == ["queued", "waiting"]


def test_edges_are_rows_and_may_be_added_as_such() -> None:
    first, second = Job.objects.bulk_create([Job(entrypoint="extract"), Job(entrypoint="load")])
    Dependency.objects.create(job_id=second.pk, depends_on=first.pk, on_failure="ignore")
    second.refresh_from_db()
    assert (second.status, second.waits_for) == ("waiting", 1)
    assert [parent.entrypoint for parent in parents(second.pk).values()] == ["extract"]

    first.delete()
    second.refresh_from_db()
    assert (second.status, second.waits_for) == ("queued", 0)


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def page_of(admin: Client, path: str) -> str:
    response = admin.get(f"/admin/pgq_orm_django/{path}")
    assert response.status_code == 200, path
    return response.content.decode()


def test_the_admin_shows_a_jobs_workflow_and_what_it_depends_on(admin: Client) -> None:
    handle = enqueue_workflow(chain("extract", group(["<transform>"] * 60), "load"))
    page = page_of(admin, f"job/{handle['extract']}/change/")
    assert f"job {handle['<transform>']}</a> (&lt;transform&gt;), waiting, if it fails: cancel" in page
    assert "<li>…</li>" in page
    assert f'href="/admin/pgq_orm_django/log/?q={handle.id}"' in page
    page = page_of(admin, f"job/{handle['load']}/change/")
    assert f"job {handle['<transform>-2']}</a>" in page

    cancel_workflow(handle.id)
    log = Log.objects.get(job_id=handle["<transform>"])
    page = page_of(admin, f"log/{log.pk}/change/")
    assert f"job {handle['extract']}</a> (extract), canceled, if it fails: cancel" in page


def test_the_admin_finds_the_jobs_of_a_workflow(admin: Client) -> None:
    handle = enqueue_workflow(chain("extract", "load"))
    other = enqueue_workflow(chain("extract", "load"))
    page = page_of(admin, f"job/?q={handle.id}")
    assert f"/{handle['load']}/change/" in page
    assert f"/{other['load']}/change/" not in page
    page_of(admin, f"job/?q={uuid4()}")


def test_a_job_without_edges_shows_none(admin: Client) -> None:
    job = Job.objects.create(entrypoint="mail")
    assert "if it fails" not in page_of(admin, f"job/{job.pk}/change/")
