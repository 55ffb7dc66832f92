"""Types: a task takes exactly the arguments of its function, and a type checker knows what has to be awaited."""

from datetime import timedelta
from typing import assert_type

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from pgq_orm import Registry, enqueue_many
from pgq_orm.errors import InvalidJobError
from pgq_orm.tasks import TaskCall
from tests.tasks.shop import count_words, enqueue_receipts, send_receipt

# What assert_type and the ignored errors say is checked by mypy, not by running it.


async def test_on_an_async_session_it_is_awaited(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        assert_type(await send_receipt.enqueue(session, 7), int)
        assert_type(await send_receipt.enqueue(session, order_id=7, copies=2), int)
        urgent = send_receipt.options(priority=5, execute_after=timedelta(minutes=1))
        assert_type(await urgent.enqueue(session, order_id=7), int)
        once = send_receipt.options(dedupe_key="once", on_conflict="skip")
        assert_type(await once.enqueue(session, order_id=7), int | None)
        assert_type(await once.options(priority=1).enqueue(session, order_id=7), int | None)
        assert_type(
            await once.options(on_conflict="update", dedupe_key="other").enqueue(session, order_id=7), int
        )
        assert_type(await enqueue_receipts.enqueue(session, [7, 8]), int)
        assert_type(await enqueue_many(session, [send_receipt.call(7)]), list[int])
        assert_type(await enqueue_many(session, [send_receipt.call(7)], on_conflict="skip"), list[int | None])


def test_on_a_session_it_is_called(engine: Engine) -> None:
    with Session(engine) as session:
        assert_type(count_words.enqueue(session, "to be"), int)
        assert_type(count_words.options(on_conflict="skip").enqueue(session, "to be"), int | None)
        assert_type(enqueue_many(session, [count_words.call("to be")]), list[int])
        assert_type(enqueue_many(session, [count_words.call("to be")], on_conflict="skip"), list[int | None])


async def check_every_kind_of_session(
    connection: Connection,
    scoped: scoped_session[Session],
    async_connection: AsyncConnection,
    async_scoped: async_scoped_session[AsyncSession],
) -> None:
    assert_type(count_words.enqueue(connection, "to be"), int)
    assert_type(count_words.enqueue(scoped, "to be"), int)
    assert_type(await count_words.enqueue(async_connection, "to be"), int)
    assert_type(await count_words.enqueue(async_scoped, "to be"), int)


def test_wrong_arguments_are_errors_of_types_and_of_values(engine: Engine) -> None:
    with Session(engine) as session:
        with pytest.raises(InvalidJobError):
            send_receipt.enqueue(session, "seven")  # type: ignore[call-overload]
        with pytest.raises(InvalidJobError):
            send_receipt.enqueue(session)  # type: ignore[call-overload]
        with pytest.raises(InvalidJobError):
            send_receipt.enqueue(session, 7, order=7)  # type: ignore[call-overload]
        with pytest.raises(InvalidJobError):
            send_receipt.call(order_id="seven")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            send_receipt.options(hurry=True)  # type: ignore[call-overload]
        assert_type(send_receipt.call(7), TaskCall)


async def test_called_directly_it_is_the_function() -> None:
    assert_type(await send_receipt(7, copies=2), str)
    assert await send_receipt(7, copies=2) == "2 × receipt 7"
    assert_type(count_words("to be"), int)
    with pytest.raises(TypeError):
        count_words(words="to be")  # type: ignore[call-arg]


def test_the_decorator_has_three_spellings() -> None:
    registry = Registry()

    @registry.task
    def bare(number: int) -> int:
        return number

    @registry.task()
    def called(number: int) -> int:
        return number

    @registry.task("another_name")
    def named(number: int) -> int:
        return number

    assert_type(bare(5), int)
    assert_type(called(5), int)
    assert_type(named(5), int)
    assert registry.entrypoints.keys() == {"bare", "called", "another_name"}
