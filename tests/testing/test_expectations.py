"""assert_enqueued: finds the jobs that are as expected, and says of the nearest one where it is not."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest
from sqlalchemy.orm import Session

from pgq_orm import Registry
from pgq_orm.errors import SessionError, UnknownEntrypointError
from pgq_orm.sqlalchemy import Job
from pgq_orm.testing import assert_enqueued, assert_not_enqueued
from tests.testing.shop import ship, shop, thank
from tests.testing.users import UsersTest

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_jobs_that_are_as_expected_are_given(test: UsersTest) -> None:
    first = await test.enqueue("pay", arguments={"order_id": 7, "card": "x"}, priority=5, queue="slow")
    second = await test.enqueue("pay", arguments={"order_id": 8})
    assert [job.id for job in await test.assert_enqueued("pay")] == [first, second]
    assert [job.id for job in await test.assert_enqueued("pay", arguments={"order_id": 7})] == [first]
    assert [job.id for job in await test.assert_enqueued("pay", queue="slow", priority=5)] == [first]
    await test.assert_enqueued("pay", count=2)
    await test.assert_enqueued("pay", arguments={"order_id": ANY, "card": ANY}, count=1)


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ({"payload": b"7"}, b"8"),
        ({"priority": 5}, 0),
        ({"queue": "slow"}, "default"),
        ({"dedupe_key": "once"}, None),
        ({"max_attempts": 3}, None),
        ({"concurrency_key": "ann"}, "bob"),
        ({"headers": {"trace": "1"}}, {"trace": "2"}),
        ({"arguments": {"a": 1}}, {"a": "1"}),
        ({"execute_after": timedelta(minutes=5)}, timedelta(minutes=6)),
        ({"execute_after": NEW_YEAR}, NEW_YEAR + timedelta(1)),
    ],
)
async def test_whatever_is_said_of_a_job_can_be_expected(
    test: UsersTest, options: dict[str, Any], other: Any
) -> None:
    [(name, value)] = options.items()
    await test.enqueue("pay", **options)
    await test.assert_enqueued("pay", **{name: value})
    with pytest.raises(AssertionError, match=f"{name}.* is .*expected"):
        await test.assert_enqueued("pay", **{name: other})
    await test.assert_not_enqueued("pay", **{name: other})
    with pytest.raises(AssertionError, match=r"1 job of 'pay' with .*enqueued, expected none"):
        await test.assert_not_enqueued("pay", **{name: value})


async def test_a_task_or_a_call_of_it_can_be_expected(test: UsersTest) -> None:
    call = thank.options(priority=3, execute_after=timedelta(days=1)).call(7, on=date(2026, 1, 1))
    await test.enqueue(call.entrypoint, arguments=call.arguments, **call.options)
    await test.assert_enqueued(thank, count=1)
    await test.assert_enqueued(call)
    await test.assert_enqueued(thank.call(7))  # whatever else is said of the job
    with pytest.raises(AssertionError, match=r"arguments\['order_id'\] is 7, expected 8"):
        await test.assert_enqueued(thank.options(priority=3).call(8))


async def test_the_nearest_job_is_shown_and_where_it_differs(test: UsersTest) -> None:
    await test.enqueue("pay", arguments={"order_id": 1})
    near = await test.enqueue("pay", arguments={"order_id": 7, "card": "x" * 300})
    await test.enqueue("ship")
    with pytest.raises(AssertionError) as failed:
        await test.assert_enqueued("pay", arguments={"order_id": 7, "coupon": "SPRING"}, priority=0)
    assert str(failed.value).splitlines() == [
        "no job of 'pay' with arguments={'order_id': 7, 'coupon': 'SPRING'}, priority=0 is enqueued",
        f"the nearest is job {near}, where",
        "  arguments['coupon'] is missing, expected 'SPRING'",
        "and 1 more of 'pay'",
        "enqueued are: 'pay' (2), 'ship' (1)",
    ]


async def test_another_number_shows_those_that_are_there(test: UsersTest) -> None:
    ids = [await test.enqueue("pay", arguments={"order_id": number}) for number in range(7)]
    with pytest.raises(AssertionError) as failed:
        await test.assert_enqueued("pay", count=2)
    assert str(failed.value).splitlines() == [
        "7 jobs of 'pay' are enqueued, expected 2",
        *(f"  job {job_id}: 'pay' with {{'order_id': {number}}}" for number, job_id in enumerate(ids[:5])),
        "  and 2 more",
        "enqueued are: 'pay' (7)",
    ]


async def test_a_name_that_is_misspelt_is_guessed(test: UsersTest) -> None:
    with pytest.raises(AssertionError, match="nothing is enqueued, as far as this transaction sees"):
        await test.assert_enqueued("pay")
    await test.enqueue("pay", payload=b"7")
    with pytest.raises(AssertionError, match=r"did you mean 'pay'\?\nenqueued are: 'pay' \(1\)"):
        await test.assert_enqueued("pai")


async def test_nothing_at_all_can_be_expected(test: UsersTest) -> None:
    await test.assert_not_enqueued()
    await test.enqueue("pay", payload=b"7")
    with pytest.raises(
        AssertionError, match=r"1 job is enqueued, expected none\n  job .*'pay' with payload b'7'"
    ):
        await test.assert_not_enqueued()


async def test_what_has_run_is_not_enqueued_any_more(test: UsersTest) -> None:
    await test.enqueue("thank", arguments={"order_id": 7})
    await test.drain()
    await test.assert_not_enqueued(thank)


async def test_what_has_not_been_flushed_is_found(test: UsersTest) -> None:
    test.session.add(Job(entrypoint="pay"))
    await test.assert_enqueued("pay")


async def test_an_entrypoint_can_be_said_by_its_function(test: UsersTest) -> None:
    await test.assert_not_enqueued(ship, handlers=shop)
    await test.enqueue("ship", arguments={"order_id": 7})
    await test.assert_enqueued(ship, handlers=shop, arguments={"order_id": 7}, count=1)
    with pytest.raises(AssertionError, match="1 job of 'ship' is enqueued, expected none"):
        await test.assert_not_enqueued(ship, handlers=shop)


async def test_a_name_that_is_misspelt_is_refused_where_the_handlers_are_known(test: UsersTest) -> None:
    await test.assert_not_enqueued("shipp")
    for look in (test.assert_not_enqueued, test.assert_enqueued):
        with pytest.raises(UnknownEntrypointError, match=r"'shipp': did you mean 'ship'\? .*handlers=None"):
            await look("shipp", handlers=shop)


def test_a_function_that_is_not_one_entrypoints_is_refused(session: Session) -> None:
    def work(job: object) -> None: ...

    registry = Registry()
    for handlers, complaint in (
        (None, "is for your registry to say: handlers="),
        (registry, "is no task, and handles no entrypoint of these handlers"),
    ):
        with pytest.raises(TypeError, match=complaint):
            assert_not_enqueued(session, work, handlers=handlers)
    for name in ("one", "two"):
        registry.entrypoint(name)(work)
    with pytest.raises(TypeError, match="handles several entrypoints, say which: 'one', 'two'"):
        assert_not_enqueued(session, work, handlers=registry)
    with pytest.raises(TypeError, match="expected a Registry or an application"):
        assert_not_enqueued(session, work, handlers=work)  # type: ignore[call-overload]


@pytest.mark.parametrize("target", [5, None, object()])
def test_what_is_no_target_is_refused(session: Session, target: Any) -> None:
    if target is not None:
        with pytest.raises(TypeError, match="expected a task, a call of one, an entrypoint's function"):
            assert_enqueued(session, target)


def test_a_misspelt_expectation_is_refused(session: Session) -> None:
    with pytest.raises(
        TypeError, match="nothing is known of a job's argument; there are: arguments, headers"
    ):
        assert_enqueued(session, "pay", argument={})  # type: ignore[call-overload]
    with pytest.raises(SessionError, match=r"not on a builtins\.str"):
        assert_enqueued("session", "pay")  # type: ignore[call-overload]
