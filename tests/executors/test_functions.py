"""Functions: jobs that name what is to be called, and the modules in which that may be."""

import asyncio
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pgq_orm import PgQueuer
from pgq_orm.errors import FunctionNotAllowedError, InvalidJobError, RegistrationError
from pgq_orm.executors import EntrypointExecutor, ProcessExecutor, SubInterpreterExecutor
from pgq_orm.functions import ENTRYPOINT, AllowedModules, FunctionJob
from pgq_orm.models import Job
from pgq_orm.queues import Queue as NamedQueue
from pgq_orm.registry import Registry
from pgq_orm.sqlalchemy import SyncQueries
from tests.executors.jobs import DRAIN, Queue

LIBRARY = "tests.executors.library"


def push(queue: Queue, job: FunctionJob | Iterable[FunctionJob], to: str = "default") -> list[int | None]:
    with Session(queue.engine) as session, session.begin():
        return SyncQueries(session).push(to, job)


def call(name: str, **kwargs: Any) -> FunctionJob:
    return FunctionJob(func=f"{LIBRARY}.{name}", kwargs=kwargs)


async def drain(pgq: PgQueuer, **options: Any) -> None:
    await asyncio.wait_for(pgq.run(mode=DRAIN, **options), 30)


async def test_functions_are_called_with_the_jobs_keyword_arguments(pgq: PgQueuer, queue: Queue) -> None:
    pgq.allow_functions(LIBRARY)
    push(
        queue, [call("add", first=3), call("add_slowly", first=3, second=4), call("say", job="a", self=None)]
    )
    await drain(pgq)
    results = {row.job_id: row.result for row in queue.log()}
    assert [results[job_id] for job_id in sorted(results)] == [4, 7, {"job": "a", "self": None}]


async def test_an_async_function_runs_on_the_loop_and_another_in_a_thread(
    pgq: PgQueuer, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "where_am_i.py").write_text(
        "import threading\n"
        "def thread(): return threading.current_thread().name\n"
        "async def loop(): return thread()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    pgq.allow_functions("where_am_i")
    push(queue, [FunctionJob(func="where_am_i.thread"), FunctionJob(func="where_am_i.loop")])
    await drain(pgq)
    threads = {row.job_id: str(row.result) for row in queue.log()}
    assert threads[1].startswith("pgq-handler")
    assert threads[2] == "MainThread"


async def test_functions_can_be_called_in_processes(pgq: PgQueuer, queue: Queue) -> None:
    pgq.allow_functions(LIBRARY, executor_factory=ProcessExecutor)
    push(queue, [call("process_id"), call("fail"), call("add_slowly", first=1)])
    await drain(pgq)
    elsewhere, failed, asynchronous = (queue.log(job_id)[0] for job_id in (1, 2, 3))
    assert elsewhere.result != os.getpid()
    assert failed.error == "LookupError: no such order"
    assert "in fail" in str(failed.traceback)
    assert "is async" in str(asynchronous.error)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no interpreters before Python 3.14")
async def test_functions_can_be_called_in_interpreters(pgq: PgQueuer, queue: Queue) -> None:
    pgq.allow_functions(LIBRARY, executor_factory=SubInterpreterExecutor)
    push(queue, call("add", first=3))
    await drain(pgq)
    assert [row.result for row in queue.log()] == [4]


async def test_a_queue_may_have_another_executor_for_them(pgq: PgQueuer, queue: Queue) -> None:
    pgq.allow_functions(LIBRARY)
    pgq.queue(NamedQueue("heavy", executor=ProcessExecutor))
    push(queue, call("process_id"), to="heavy")
    push(queue, call("process_id"))
    await drain(pgq)
    pids = {row.queue: row.result for row in queue.log()}
    assert pids["default"] == os.getpid() != pids["heavy"]


async def test_what_its_executor_cannot_serve_fails_in_that_queue_alone(pgq: PgQueuer, queue: Queue) -> None:
    @pgq.entrypoint("work")
    async def work(job: Job) -> str:
        return "done"

    pgq.queue(NamedQueue("heavy", executor=ProcessExecutor))
    heavy, light = queue.enqueue("work", queue="heavy"), queue.enqueue("work")
    await drain(pgq)
    assert [row.result for row in queue.log(light)] == ["done"]
    assert [str(row.error).split(":")[0] for row in queue.log(heavy)] == ["RegistrationError"]


@pytest.mark.parametrize(
    ("func", "reason"),
    [
        ("os.system", "module 'os' is not among those"),
        ("os.path.join", "module 'os.path' is not among those"),
        (f"{LIBRARY}.os.system", f"module '{LIBRARY}.os' is not among those"),
        (f"{LIBRARY}s.add", "is not among those"),
        ("tests.executors.handlers.fail", "is not among those"),
        (f"{LIBRARY}.here", "not defined in that module but in"),
        (f"{LIBRARY}.getcwd", "not defined in that module but in"),
        (f"{LIBRARY}.system", "not defined in that module but in 'sys'"),
        (f"{LIBRARY}._private", "private"),
        (f"{LIBRARY}.__loader__", "private"),
        (f"{LIBRARY}.Thing", "it is no function but"),
        (f"{LIBRARY}.Elsewhere", "it is no function but"),
        (f"{LIBRARY}.limit", "it is no function but 3"),
        (f"{LIBRARY}.handlers", "it is no function but"),
        (f"{LIBRARY}.ad", "did you mean 'add'"),
    ],
)
@pytest.mark.parametrize("executor", [EntrypointExecutor, ProcessExecutor])
async def test_nothing_else_is_called(
    pgq: PgQueuer, queue: Queue, func: str, reason: str, executor: Any
) -> None:
    pgq.allow_functions(LIBRARY, executor_factory=executor, max_attempts=5)
    push(queue, FunctionJob(func=func, max_attempts=None))
    await drain(pgq)
    [row] = queue.log()
    assert (row.status, row.retried) == ("exception", False)
    assert str(row.error).startswith("FunctionNotAllowedError: function ")
    assert reason in str(row.error)


async def test_no_module_is_imported_because_a_job_says_so(
    pgq: PgQueuer, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("evil.py", "mine/__init__.py", "mine/jobs.py"):
        (tmp_path / name).write_text("def work(): return 'done'\n")
    monkeypatch.syspath_prepend(tmp_path)
    pgq.allow_functions("mine.*")
    push(queue, [FunctionJob(func=f"{module}.work") for module in ("evil", "mine.jobs", "mine")])
    await drain(pgq)
    assert {row.job_id: row.status for row in queue.log()} == {
        1: "exception",
        2: "successful",
        3: "exception",
    }
    assert "mine.jobs" in sys.modules
    assert "evil" not in sys.modules


async def test_a_worker_without_modules_leaves_such_jobs_to_others(pgq: PgQueuer, queue: Queue) -> None:
    pgq.entrypoint("other")(lambda job: None)
    push(queue, call("add", first=1))
    await drain(pgq)
    assert [job.status for job in queue.jobs()] == ["queued"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"func": None},
        {"func": 7},
        {"func": "add"},
        {"func": "a b.c"},
        {"func": f"{LIBRARY}.add", "kwargs": [1]},
        {"func": f"{LIBRARY}.add", "kwargs": {"third": 1}},
    ],
)
async def test_garbage_in_a_row_fails_its_own_job(
    pgq: PgQueuer, queue: Queue, arguments: dict[str, Any]
) -> None:
    pgq.allow_functions(LIBRARY)
    garbage = queue.enqueue(ENTRYPOINT, arguments=arguments)
    [good] = push(queue, call("add", first=1))
    await drain(pgq)
    assert [row.status for row in queue.log(garbage)] == ["exception"]
    assert [row.status for row in queue.log(good)] == ["successful"]


async def test_a_unique_key_keeps_a_second_job_out(pgq: PgQueuer, queue: Queue) -> None:
    job = FunctionJob(func=f"{LIBRARY}.add", kwargs={"first": 1}, unique_key="once", priority=3)
    later = FunctionJob(func=f"{LIBRARY}.add", scheduled_at=datetime.now(UTC) + timedelta(days=1))
    assert push(queue, [job, later, job]) == [1, 2, None]
    assert push(queue, []) == []
    assert [(row.dedupe_key, row.priority, row.max_attempts) for row in queue.jobs()] == [
        ("once", 3, 1),
        (None, 0, 1),
    ]


def test_what_names_no_function_is_refused_before_it_is_sent(queue: Queue) -> None:
    for func in ("add", "", "a..b", ".add", "os.system()", 5, None):
        with pytest.raises(InvalidJobError, match="func must name a function"):
            FunctionJob(func=func)  # type: ignore[arg-type]
    with pytest.raises(InvalidJobError, match="kwargs must be a mapping"):
        FunctionJob(func="a.b", kwargs=[1])  # type: ignore[arg-type]
    with pytest.raises(InvalidJobError, match="kwargs must be a mapping"):
        FunctionJob(func="a.b", kwargs={1: 2})  # type: ignore[dict-item]
    with pytest.raises(InvalidJobError, match="expected a FunctionJob"):
        push(queue, ["a.b"])  # type: ignore[list-item]
    with pytest.raises(InvalidJobError, match="cannot be stored as JSON"):
        push(queue, FunctionJob(func="a.b", kwargs={"at": datetime.now(UTC)}))
    assert not queue.jobs()


def test_a_function_gives_its_own_path() -> None:
    from tests.executors import library

    assert FunctionJob.from_func(library.add, kwargs={"first": 1}) == call("add", first=1)
    with pytest.raises(InvalidJobError, match="<lambda>"):
        FunctionJob.from_func(lambda: None)


@pytest.mark.parametrize("name", ["*", "", ".*", "shop.", "shop jobs", "shop.*.jobs", 7])
def test_what_is_no_module_cannot_be_allowed(name: Any) -> None:
    with pytest.raises(RegistrationError, match="is no module"):
        AllowedModules([name])


def test_registries_bring_their_modules_along() -> None:
    mine, theirs = Registry(), Registry()
    mine.allow_functions("mine")
    theirs.allow_functions("theirs")
    mine.include(theirs, Registry())
    mine.allow_functions("more", "mine")
    assert mine.functions.names == ("mine", "theirs", "more")
    assert mine.entrypoints[ENTRYPOINT].executor_factory.modules.names == mine.functions.names  # type: ignore[attr-defined]
    with pytest.raises(FunctionNotAllowedError, match="'mine', 'theirs', 'more'"):
        mine.functions.require("os.system")


def test_what_the_executor_cannot_do_is_refused_where_it_is_asked_for() -> None:
    if sys.version_info >= (3, 14):
        with pytest.raises(RegistrationError, match="time_limit"):
            Registry().allow_functions(
                "mine", executor_factory=SubInterpreterExecutor, timeout=timedelta(seconds=1)
            )
    with pytest.raises(RegistrationError, match="FunctionExecutor has no transactional"):
        Registry().allow_functions("mine", transactional=True)
    with pytest.raises(TypeError, match="max_tries"):
        Registry().allow_functions("mine", max_tries=3)  # type: ignore[call-arg]
