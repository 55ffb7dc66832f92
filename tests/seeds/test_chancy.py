"""The snippets of Chancy's document on executors run, with nothing changed but imports and connection lines."""

import asyncio
import dataclasses
import datetime
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import Session

from pgq_orm.executors import Executor, JobInstance
from pgq_orm.sqlalchemy import Log
from pgq_orm.sqlalchemy.chancy import Chancy, Job, Queue, Worker
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually

# fmt: off
# executor.py


class MyExecutor(Executor):
    async def push(self, job: JobInstance):
        mod_name, func_name = job.func.rsplit(".", 1)
        mod = __import__(mod_name, fromlist=[func_name])
        func = getattr(mod, func_name)

        kwargs = job.kwargs or {}
        try:
           func(**kwargs)
        except Exception:
            await self.queue.push_job_update(
                dataclasses.replace(
                    job,
                    state=(
                        JobInstance.State.FAILED
                        if job.attempts + 1 >= job.max_attempts
                        else JobInstance.State.RETRYING
                    ),
                    attempts=job.attempts + 1,
                )
            )
        else:
            await self.queue.push_job_update(
                dataclasses.replace(
                    job,
                    state=JobInstance.State.SUCCEEDED,
                    completed_at=datetime.datetime.now(
                        tz=datetime.timezone.utc  # noqa: UP017
                    ),
                )
            )


# worker.py


async def main():
    async with Chancy(
        dsn=os.environ["DSN"],
        modules=["my_module"],
        plugins=[
            Queue(name="default", concurrency=10, executor=MyExecutor),
        ],
    ) as chancy:
        await chancy.migrate()
        await chancy.push(
            "default",
            Job(
               func="my_module.my_dummy_task",
               kwargs={"name": "world"}
            )
        )
        await Worker(chancy).start()

# fmt: on


@pytest.fixture
def my_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The application's own module, which is imported when its first job runs."""
    module = ModuleType("my_module")
    greeted: list[str] = []

    def my_dummy_task(name: str) -> None:
        greeted.append(name)
        if name == "nobody":
            raise LookupError("there is nobody")

    my_dummy_task.__module__ = "my_module"
    module.my_dummy_task, module.greeted = my_dummy_task, greeted  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_module", module)
    return module


@pytest.fixture
def log(empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Log]]]:
    """What has been done on a database on which nothing was installed before."""
    monkeypatch.setenv("DSN", empty_dsn)
    engine: Engine = create_engine(sqlalchemy_url(empty_dsn))

    def log() -> list[Log]:
        with Session(engine) as session:
            installed = session.connection().exec_driver_sql("SELECT to_regclass('pgq_log')").scalar()
            return [*session.scalars(select(Log).order_by(Log.id))] if installed else []

    yield log
    engine.dispose()


async def test_the_worker_of_the_document_runs_its_job(
    my_module: ModuleType, log: Callable[[], list[Log]]
) -> None:
    working = asyncio.create_task(main())
    try:
        await aeventually(lambda: working.done() or log())
    finally:
        working.cancel()
        await asyncio.wait([working])
    assert [entry.status for entry in log()] == ["successful"]
    assert my_module.greeted == ["world"]


async def test_a_job_that_fails_is_tried_as_often_as_it_may(
    my_module: ModuleType, log: Callable[[], list[Log]]
) -> None:
    queues = [Queue(name="default", concurrency=10, executor=MyExecutor)]
    async with Chancy(dsn=os.environ["DSN"], modules=["my_module"], plugins=queues) as chancy:
        await chancy.migrate()
        nobody = Job(func="my_module.my_dummy_task", kwargs={"name": "nobody"}, max_attempts=2)
        await chancy.push("default", nobody)
        worker = Worker(chancy)
        working = asyncio.create_task(worker.start())
        await aeventually(lambda: len(log()) == 2)
        await worker.stop()
        await working
    first, second = log()
    assert (first.status, first.retried, second.status, second.retried) == (
        "exception",
        True,
        "exception",
        False,
    )
    assert second.error == "LookupError: there is nobody"
    assert "in my_dummy_task" in str(second.traceback)
    assert my_module.greeted == ["nobody"] * 2
