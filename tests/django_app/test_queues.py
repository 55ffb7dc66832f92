"""Named queues, as a Django project declares, pauses and edits them."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client, override_settings
from django.utils.timezone import now

import pgq_orm_django
from pgq_orm import PgQueuer, queues
from pgq_orm.errors import FunctionNotAllowedError, UnknownQueueError
from pgq_orm.functions import ENTRYPOINT, FunctionJob
from pgq_orm.registry import Registry
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import (
    apause_queue,
    declare_queue,
    fetch_queues,
    pause_queue,
    push,
    resume_queue,
    update_queue,
)
from pgq_orm_django.models import Job, Log, Queue
from pgq_orm_django.registry import discover, registry
from pgq_orm_django.store import DatabaseStore

pytestmark = pytest.mark.usefixtures("db")

ADMIN = "/admin/pgq_orm_django/queue/"


@pytest.mark.parametrize(
    "name", [name for name in vars(queues) if name.endswith("_queue")] + ["fetch_queues"]
)
def test_there_is_a_function_and_its_twin_for_every_method_of_queries(name: str) -> None:
    function, twin = getattr(pgq_orm_django, name), getattr(pgq_orm_django, f"a{name}")
    assert inspect.iscoroutinefunction(twin)
    theirs = [p for p in inspect.signature(function).parameters if p != "using"]
    assert theirs == list(inspect.signature(getattr(queues, name)).parameters)


def test_functions_are_part_of_the_callers_transaction() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        pause_queue("mail")
        raise RuntimeError
    assert fetch_queues() == []
    with transaction.atomic():
        assert declare_queue(queues.Queue("mail", concurrency=4)) == ["mail"]
        with pytest.raises(UnknownQueueError):
            update_queue("other", concurrency=1)
        assert update_queue("mail", rate_limit=10) == ["mail"]
    [state] = fetch_queues()
    assert (state.concurrency, state.rate_limit) == (4, 10)


async def test_twins_are_awaited(db: str) -> None:
    assert await apause_queue("mail", resume_at=timedelta(hours=1)) == ["mail"]
    assert [queue.name async for queue in Queue.objects.paused()] == ["mail"]
    assert await Queue.objects.all().aresume() == ["mail"]
    assert not await Queue.objects.paused().aexists()


def test_querysets_know_who_is_paused_by_the_databases_clock() -> None:
    pause_queue("now")
    pause_queue("over", resume_at=timedelta(seconds=-1))
    declare_queue(queues.Queue("never"))
    assert {queue.name for queue in Queue.objects.paused()} == {"now"}
    assert {queue.name for queue in Queue.objects.active()} == {"over", "never"}
    claims = {queue.name: queue.is_paused for queue in Queue.objects.with_is_paused()}  # type: ignore[attr-defined]
    assert claims == {"now": True, "over": False, "never": False}
    assert Queue.objects.filter(name="never").pause(timedelta(hours=1)) == ["never"]
    assert Queue.objects.all().resume() == ["never", "now"]
    assert not hasattr(Queue.objects, "pause")


def test_a_saved_queue_knows_when_it_was_updated() -> None:
    queue = Queue.objects.create(name="mail")
    assert (queue.paused, queue.rate_limit_window, str(queue)) == (False, timedelta(seconds=1), "mail")
    created = queue.updated
    queue.concurrency = 3
    queue.save(update_fields=["concurrency"])
    assert queue.updated > created
    queue.refresh_from_db()
    assert (queue.concurrency, queue.updated > created) == (3, True)


@pytest.mark.parametrize(
    "columns", [{"concurrency": 0}, {"rate_limit": -1}, {"name": ""}, {"resume_at": "2100-01-01T00:00Z"}]
)
def test_what_makes_no_sense_is_refused_by_the_form_and_by_the_database(columns: dict[str, Any]) -> None:
    queue = Queue(**{"name": "mail"} | columns)
    with pytest.raises(ValidationError):
        queue.full_clean()
    with pytest.raises(IntegrityError):
        Queue.objects.create(**{"name": "mail"} | columns)


@pytest.fixture
def tasks() -> Iterator[Registry]:
    """A registry as `tasks` modules fill it; what the test adds to this process's is taken out again."""
    discover()  # now: modules are imported once, and what they add meanwhile would be taken out for good
    before = (dict(registry.entrypoints), dict(registry.queues), registry.functions)
    yield registry
    registry.entrypoints, registry.queues, registry.functions = before


def work(tasks: Registry) -> None:
    application = PgQueuer(DatabaseStore("default"), registry=tasks)
    async_to_sync(application.run)(mode=QueueExecutionMode.drain)
    async_to_sync(application.store.close)()


def test_a_worker_follows_what_is_said_of_a_queue(tasks: Registry) -> None:
    pgq_orm_django.queue(queues.Queue("slow", concurrency=2))
    tasks.entrypoint("count")(lambda job: None)
    Job.objects.bulk_create([Job(entrypoint="count", queue=name) for name in ("slow", "paused", "default")])
    pause_queue("default")
    work(tasks)
    assert [log.queue for log in Log.objects.all()] == ["slow"]
    assert Queue.objects.get(name="slow").concurrency == 2
    resume_queue("default")
    work(tasks)
    assert sorted(Job.objects.values_list("queue", flat=True)) == ["paused"]


def test_functions_of_allowed_modules_are_called_by_their_paths(tasks: Registry) -> None:
    with pytest.raises(FunctionNotAllowedError, match=r"allow_functions\('tests.executors.library'\)"):
        push("default", FunctionJob(func="tests.executors.library.add"))
    pgq_orm_django.allow_functions("tests.executors.library")
    with pytest.raises(FunctionNotAllowedError):
        push("default", [FunctionJob(func="tests.executors.library.add"), FunctionJob(func="os.getcwd")])
    assert not Job.objects.exists()
    job_id = push("default", FunctionJob(func="tests.executors.library.add", kwargs={"first": 4}))
    assert job_id is not None
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        other_id = push("default", FunctionJob(func="elsewhere.add", unique_key="once"))
        assert other_id is not None
        assert push("default", FunctionJob(func="elsewhere.add", unique_key="once")) is None
    assert Job.objects.get(pk=job_id).entrypoint == ENTRYPOINT
    work(tasks)
    assert Log.objects.get(job_id=job_id).result == 5
    assert "FunctionNotAllowedError" in str(Log.objects.get(job_id=other_id).error)


def test_the_examples_of_the_page_do_what_it_says(tasks: Registry) -> None:
    page = (Path(__file__).parents[2] / "docs" / "queues.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(# shop/.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert tasks.queues["mail"].concurrency == 4
    assert not names["reports"].paused


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call_command("pgq_queues", *arguments)
    return capsys.readouterr().out


def test_the_command_lists_pauses_and_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    declare_queue([queues.Queue("mail"), queues.Queue("reports")])
    assert output(capsys, "pause", "mail", "reports", "--until", "2h") == "paused: mail, reports\n"
    assert output(capsys, "list").count(" paused until ") == 2
    assert [queue["name"] for queue in json.loads(output(capsys, "list", "--json"))] == ["mail", "reports"]
    assert output(capsys, "resume", "mail") == "resumed: mail\n"
    with pytest.raises(CommandError, match="cannot read 'soon'"):
        call_command("pgq_queues", "pause", "mail", "--until", "soon")


class TestAdmin:
    @pytest.fixture
    def log_in(self) -> Callable[..., Client]:
        def log_in(*permissions: str) -> Client:
            staff = User.objects.create_user("staff", is_staff=True)
            staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
            client = Client()
            client.force_login(staff)
            return client

        return log_in

    def act(self, client: Client, action: str) -> str:
        selected = list(Queue.objects.values_list("pk", flat=True))
        answer = client.post(ADMIN, {"action": action, "_selected_action": selected}, follow=True)
        return answer.content.decode()

    def test_queues_are_added_edited_paused_and_resumed(self, log_in: Callable[..., Client]) -> None:
        client = log_in("view_queue", "add_queue", "change_queue")
        form = {"name": "mail", "concurrency": "4", "rate_limit": "", "rate_limit_window": "00:01:00"}
        assert client.post(f"{ADMIN}add/", form).status_code == 302
        queue = Queue.objects.get()
        assert (queue.name, queue.concurrency, queue.paused) == ("mail", 4, False)
        assert client.post(f"{ADMIN}{queue.pk}/change/", form | {"concurrency": "5"}).status_code == 302
        assert Queue.objects.get().concurrency == 5
        assert "1 queue paused." in self.act(client, "pause")
        assert Queue.objects.paused().exists()
        assert "1 queue resumed." in self.act(client, "resume")
        assert not Queue.objects.paused().exists()

    def test_the_filter_goes_by_what_the_column_shows(self, log_in: Callable[..., Client]) -> None:
        a_minute_ago = now() - timedelta(minutes=1)
        Queue.objects.create(name="never")
        Queue.objects.create(name="over", paused=True, resume_at=a_minute_ago)
        Queue.objects.create(name="until", paused=True, resume_at=now() + timedelta(days=1))
        Queue.objects.create(name="until resumed", paused=True)
        client = log_in("view_queue")

        def listed(**query: str) -> list[tuple[str, bool]]:
            shown: Any = client.get(ADMIN, query).context["cl"]
            return [(queue.name, shown.model_admin.is_active(queue)) for queue in shown.result_list]

        assert listed(active="yes") == [("never", True), ("over", True)]
        assert listed(active="no") == [("until", False), ("until resumed", False)]
        assert len(listed()) == 4

    def test_the_form_says_what_is_wrong(self, log_in: Callable[..., Client]) -> None:
        client = log_in("view_queue", "add_queue")
        form = {"name": "mail", "concurrency": "0", "rate_limit_window": "1", "resume_at_0": "2100-01-01"}
        page = client.post(f"{ADMIN}add/", form | {"resume_at_1": "00:00"}).content.decode()
        assert "Only a paused queue can be resumed at a time." in page
        assert "To let none of its jobs run, pause the queue." in page
        assert "Constraint" not in page
        assert not Queue.objects.exists()

    def test_who_may_only_look_is_not_offered_the_actions_and_cannot_run_them(
        self, log_in: Callable[..., Client]
    ) -> None:
        pause_queue(["mail", "it's <odd>"])
        client = log_in("view_queue")
        page = client.get(ADMIN).content.decode()
        assert "it&#x27;s &lt;odd&gt;" in page
        assert "Resume selected" not in page
        self.act(client, "resume")
        assert Queue.objects.paused().count() == 2
        assert client.get(f"{ADMIN}add/").status_code == 403
        assert (
            'name="_save"' not in client.get(f"{ADMIN}{Queue.objects.all()[0].pk}/change/").content.decode()
        )

    def test_who_may_not_look_sees_nothing(self, log_in: Callable[..., Client]) -> None:
        assert log_in("view_job").get(ADMIN).status_code == 403
