"""Types: one definition gives both classes their methods, and a type checker knows which of them is awaited."""

import inspect
from typing import Any, assert_type

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from pgq_orm import administration, enqueueing, functions, orchestration
from pgq_orm import queues as queue_settings
from pgq_orm.methods import Administration
from pgq_orm.reports import FailedJob, JobIdStatus, QueueStatistics
from pgq_orm.sqlalchemy import Queries, SyncQueries

# What assert_type says is checked by mypy, not by running it.


async def test_queries_are_awaited(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        queries = Queries(session)
        assert_type(await queries.enqueue("mail"), list[int])
        assert_type(await queries.enqueue("mail", on_conflict="skip"), list[int | None])
        assert_type(await queries.queue_size(), list[QueueStatistics])
        assert_type(await queries.list_failed_jobs(10, after=None), list[FailedJob])
        assert_type(await queries.job_status([1]), list[JobIdStatus])
        assert_type(await queries.requeue_jobs([]), dict[int, int])
        with pytest.raises(TypeError):
            await queries.job_status(job_ids=[1])  # type: ignore[call-arg]


def test_sync_queries_are_called(engine: Engine) -> None:
    with Session(engine) as session:
        queries = SyncQueries(session)
        assert_type(queries.enqueue("mail"), list[int])
        assert_type(queries.enqueue("mail", on_conflict="skip"), list[int | None])
        assert_type(queries.queue_size(), list[QueueStatistics])
        assert_type(queries.list_failed_jobs(10, after=None), list[FailedJob])
        assert_type(queries.job_status([1]), list[JobIdStatus])
        assert_type(queries.requeue_jobs([]), dict[int, int])
        with pytest.raises(TypeError):
            queries.job_status(job_ids=[1])  # type: ignore[call-arg]


METHODS = [name for name in vars(Administration) if not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("queries", [Queries, SyncQueries])
def test_each_method_shows_the_signature_and_the_docstring_of_its_one_definition(
    queries: type[Any], name: str
) -> None:
    places: list[Any] = [enqueueing, administration, functions, orchestration, queue_settings]
    definition = next(getattr(place, name) for place in places if hasattr(place, name))
    assert inspect.signature(getattr(queries, name)) == inspect.signature(definition)
    assert inspect.getdoc(getattr(queries, name)) == inspect.getdoc(definition)


def test_help_lists_them_as_methods() -> None:
    kinds = {attribute.name: attribute.kind for attribute in inspect.classify_class_attrs(Queries)}
    assert {kinds[name] for name in METHODS} == {"method"}


def test_a_bound_method_still_knows_what_it_is(engine: Engine) -> None:
    with Session(engine) as session:
        method = SyncQueries(session).clear_queue
        assert method.__name__ == "clear_queue"
        assert list(inspect.signature(method).parameters) == ["entrypoint"]
