"""Enqueueing: what an application asks for is what stands in the table, or it is told why not."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.errors import DuplicateJobError, InvalidJobError
from tests.conformance.callers import Caller
from tests.conformance.tables import Tables
from tests.eventually import aeventually

pytestmark = pytest.mark.usefixtures("any_entrypoint")


async def test_one_word_is_enough(caller: Caller, tables: Tables) -> None:
    (job_id,) = await caller.enqueue("mail")
    await caller.commit()
    (job,) = tables.jobs()
    assert (job.id, job.entrypoint, job.status, job.queue) == (job_id, "mail", "queued", "default")
    assert (job.priority, job.attempts, job.lease) == (0, 0, 0)
    assert (job.payload, job.arguments, job.headers, job.dedupe_key, job.max_attempts) == (None,) * 5
    assert job.created == job.updated == job.execute_after


# Each shape has a statement of its own: one job, several without keys, and any with keys.
@pytest.mark.parametrize(
    ("payload", "dedupe_key"),
    [(b"\x00\xff any bytes", None), ([b"\x00\xff any bytes"], None), (b"\x00\xff any bytes", "order-5")],
    ids=["one", "several", "keyed"],
)
async def test_everything_that_is_said_is_kept(
    caller: Caller, tables: Tables, payload: bytes | list[bytes], dedupe_key: str | None
) -> None:
    await caller.enqueue(
        "mail",
        payload,
        priority=-7,
        execute_after=datetime(2040, 1, 1, tzinfo=UTC),
        dedupe_key=dedupe_key,
        headers={"trace": "å", "nested": {"list": [1, 2.5, None, True]}},
        arguments={"to": "zoë@example.org", "quoted": "a \\u0000 that is no NUL", "empty": {}},
        queue="slow",
        max_attempts=3,
    )
    await caller.commit()
    (job,) = tables.jobs()
    assert job.payload == b"\x00\xff any bytes"
    assert job.headers == {"trace": "å", "nested": {"list": [1, 2.5, None, True]}}
    assert job.arguments == {"to": "zoë@example.org", "quoted": "a \\u0000 that is no NUL", "empty": {}}
    assert (job.priority, job.dedupe_key, job.queue, job.max_attempts) == (-7, dedupe_key, "slow", 3)
    assert job.execute_after == datetime(2040, 1, 1, tzinfo=UTC)


async def test_lists_add_one_job_for_each_entry(caller: Caller, tables: Tables) -> None:
    job_ids = await caller.enqueue(
        ["mail", "letter"], [b"a", None], priority=[1, 2], headers=[None, {"b": 2}]
    )
    await caller.commit()
    found = [(job.id, job.entrypoint, job.payload, job.priority, job.headers) for job in tables.jobs()]
    assert found == [(job_ids[0], "mail", b"a", 1, None), (job_ids[1], "letter", None, 2, {"b": 2})]


async def test_what_is_not_a_list_holds_for_every_job(caller: Caller, tables: Tables) -> None:
    await caller.enqueue("mail", [b"a", b"b", b"c"], priority=5, arguments={"same": True}, queue="slow")
    await caller.commit()
    found = [(job.entrypoint, job.payload, job.priority, job.arguments, job.queue) for job in tables.jobs()]
    assert found == [("mail", payload, 5, {"same": True}, "slow") for payload in (b"a", b"b", b"c")]


@pytest.mark.parametrize("name", ["payload", "priority", "execute_after", "dedupe_key", "headers", "queue"])
async def test_any_list_alone_tells_how_many_jobs_there_are(
    caller: Caller, tables: Tables, name: str
) -> None:
    values = [{"priority": 1, "queue": "slow"}.get(name)] * 3
    job_ids = await caller.enqueue("mail", **{name: values})
    await caller.commit()
    assert len(job_ids) == 3
    assert [job.id for job in tables.jobs()] == job_ids


async def test_an_empty_list_adds_nothing(caller: Caller, tables: Tables) -> None:
    assert await caller.enqueue([]) == []
    assert await caller.enqueue("mail", []) == []
    await caller.commit()
    assert tables.count_jobs() == 0


async def test_thousands_of_jobs_keep_their_order(caller: Caller, tables: Tables) -> None:
    payloads = [str(number).encode() for number in range(2500)]
    job_ids = await caller.enqueue("mail", payloads)
    await caller.commit()
    assert [(job.id, job.payload) for job in tables.jobs()] == list(zip(job_ids, payloads, strict=True))


async def test_a_delay_counts_from_the_databases_now(caller: Caller, tables: Tables) -> None:
    await caller.enqueue("mail", execute_after=[timedelta(hours=1), timedelta(0), timedelta(seconds=-1.5)])
    await caller.commit()
    delays = [job.execute_after - job.created for job in tables.jobs()]
    assert delays == [timedelta(hours=1), timedelta(0), timedelta(seconds=-1.5)]


async def test_an_aware_datetime_is_an_instant_in_any_zone(caller: Caller, tables: Tables) -> None:
    noon = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    await caller.enqueue(
        "mail", execute_after=[noon, noon.astimezone(timezone(timedelta(hours=5, minutes=30)))]
    )
    await caller.commit()
    assert [job.execute_after for job in tables.jobs()] == [noon, noon]


async def test_the_two_passes_of_a_repeated_hour_are_two_instants(caller: Caller, tables: Tables) -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Vienna"))
    await caller.enqueue("mail", execute_after=[first, first.replace(fold=1)])
    await caller.commit()
    instants = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert [job.execute_after for job in tables.jobs()] == instants


async def test_delays_and_instants_and_none_may_be_mixed(caller: Caller, tables: Tables) -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    await caller.enqueue("mail", execute_after=[None, timedelta(days=1), noon])
    await caller.commit()
    first, second, third = tables.jobs()
    assert first.execute_after == first.created
    assert second.execute_after == second.created + timedelta(days=1)
    assert third.execute_after == noon


# While a job with the same dedupe_key is still to be done


async def test_a_duplicate_is_refused_and_the_transaction_goes_on(caller: Caller, tables: Tables) -> None:
    tables.add_job(dedupe_key="order-5")
    await caller.enqueue("before")
    with pytest.raises(
        DuplicateJobError, match="dedupe_key already in use: 'order-5'; pass on_conflict="
    ) as refusal:
        await caller.enqueue("mail", dedupe_key="order-5")
    assert refusal.value.dedupe_keys == ["order-5"]
    await caller.enqueue("after")
    await caller.commit()
    assert [job.entrypoint for job in tables.jobs()] == ["mail", "before", "after"]


async def test_one_duplicate_among_many_refuses_all_of_them(caller: Caller, tables: Tables) -> None:
    tables.add_job(dedupe_key="taken")
    with pytest.raises(DuplicateJobError) as refusal:
        await caller.enqueue("letter", dedupe_key=["new", "taken", None])
    assert refusal.value.dedupe_keys == ["taken"]
    await caller.commit()
    assert [job.dedupe_key for job in tables.jobs()] == ["taken"]


async def test_a_duplicate_in_the_second_thousand_refuses_the_first_as_well(
    caller: Caller, tables: Tables
) -> None:
    tables.add_job(dedupe_key="key-1500")
    with pytest.raises(DuplicateJobError):
        await caller.enqueue("mail", dedupe_key=[f"key-{number}" for number in range(2000)])
    await caller.commit()
    assert tables.count_jobs() == 1


async def test_a_duplicate_that_is_skipped_answers_none_in_its_place(caller: Caller, tables: Tables) -> None:
    tables.add_job(dedupe_key="taken")
    first, second, third = await caller.enqueue(
        ["a", "b", "c"], dedupe_key=["new", "taken", None], on_conflict="skip"
    )
    await caller.commit()
    assert second is None
    assert (tables.job(first).entrypoint, tables.job(third).entrypoint) == ("a", "c")
    assert tables.count_jobs() == 3


async def test_a_running_job_keeps_its_key(caller: Caller, tables: Tables) -> None:
    tables.add_picked_job(tables.add_worker(), dedupe_key="order-5")
    assert await caller.enqueue("mail", dedupe_key="order-5", on_conflict="skip") == [None]


async def test_update_replaces_the_job_that_waits(caller: Caller, tables: Tables) -> None:
    job_id = tables.add_job(
        dedupe_key="order-5", payload=b"old", priority=1, headers={"old": True}, attempts=2, max_attempts=9
    )
    assert await caller.enqueue(
        "letter", b"new", priority=3, dedupe_key="order-5", queue="slow", on_conflict="update"
    ) == [job_id]
    await caller.commit()
    (job,) = tables.jobs()
    assert (job.entrypoint, job.payload, job.priority, job.queue) == ("letter", b"new", 3, "slow")
    assert (job.headers, job.max_attempts) == (None, None)
    assert job.attempts == 2


async def test_update_may_bring_a_deferred_job_forward_and_put_it_off(caller: Caller, tables: Tables) -> None:
    job_id = tables.add_job(dedupe_key="order-5", execute_after=datetime(2090, 1, 1, tzinfo=UTC))
    await caller.enqueue("mail", dedupe_key="order-5", on_conflict="update")
    await caller.commit()
    assert tables.job(job_id).execute_after <= tables.job(job_id).updated

    await caller.enqueue("mail", dedupe_key="order-5", on_conflict="update", execute_after=timedelta(hours=1))
    await caller.commit()
    assert tables.job(job_id).execute_after == tables.job(job_id).updated + timedelta(hours=1)


async def test_update_adds_what_is_new(caller: Caller, tables: Tables) -> None:
    old = tables.add_job(dedupe_key="old")
    new, updated, unkeyed = await caller.enqueue(
        "letter", dedupe_key=["new", "old", None], on_conflict="update"
    )
    await caller.commit()
    assert updated == old
    assert {job.id for job in tables.jobs()} == {new, old, unkeyed}
    assert {job.entrypoint for job in tables.jobs()} == {"letter"}


async def test_a_running_job_can_no_longer_be_updated_and_nothing_else_is(
    caller: Caller, tables: Tables
) -> None:
    tables.add_job(dedupe_key="waits", payload=b"old")
    tables.add_picked_job(tables.add_worker(), dedupe_key="runs", payload=b"old")
    await caller.enqueue("before")
    with pytest.raises(DuplicateJobError, match="'runs'; a worker has already picked that job") as refusal:
        await caller.enqueue("mail", b"new", dedupe_key=["waits", "runs", "new", None], on_conflict="update")
    assert refusal.value.dedupe_keys == ["runs"]
    await caller.commit()
    assert {(job.dedupe_key, job.payload) for job in tables.jobs()} == {
        ("waits", b"old"),
        ("runs", b"old"),
        (None, None),
    }


async def test_a_job_that_is_picked_at_this_very_moment_is_not_replaced_and_nothing_else_is(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    tables.add_job(dedupe_key="waits", payload=b"old", entrypoint="letter")
    tables.add_job(dedupe_key="contested", payload=b"old")
    pick = operations.pick(tables.add_worker(), "default", ["mail"], 1)
    rival.execute(pick.statement.pyformat.encode(), pick.params)
    replacing = asyncio.create_task(
        caller.enqueue("mail", b"new", dedupe_key=["waits", "new", "contested"], on_conflict="update")
    )
    await aeventually(tables.is_somebody_waiting)
    rival.commit()
    with pytest.raises(DuplicateJobError) as refusal:
        await replacing
    assert refusal.value.dedupe_keys == ["contested"]
    await caller.commit()
    assert [(job.dedupe_key, job.payload, job.status) for job in tables.jobs()] == [
        ("waits", b"old", "queued"),
        ("contested", b"old", "picked"),
    ]


async def test_a_job_that_ends_at_this_very_moment_is_followed_by_a_new_one(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    canceled = tables.add_job(dedupe_key="order-5", payload=b"old")
    cancel = operations.cancel([canceled])
    rival.execute(cancel.statement.pyformat.encode(), cancel.params)
    replacing = asyncio.create_task(
        caller.enqueue("mail", b"new", dedupe_key="order-5", on_conflict="update")
    )
    await aeventually(tables.is_somebody_waiting)
    rival.commit()
    [job_id] = await replacing
    await caller.commit()
    assert [(job.id, job.payload) for job in tables.jobs()] == [(job_id, b"new")]
    assert [log.job_id for log in tables.logs()] == [canceled]


async def test_of_two_that_replace_a_job_at_the_same_time_the_later_one_stands(
    caller: Caller, tables: Tables, rival: psycopg.Connection
) -> None:
    job_id = tables.add_job(dedupe_key="order-5", payload=b"old")
    rival.execute("UPDATE pgq_job SET payload = 'first', priority = 7")
    replacing = asyncio.create_task(
        caller.enqueue("mail", b"second", dedupe_key="order-5", on_conflict="update")
    )
    await aeventually(tables.is_somebody_waiting)
    rival.commit()
    assert await replacing == [job_id]
    await caller.commit()
    assert [(job.id, job.payload, job.priority) for job in tables.jobs()] == [(job_id, b"second", 0)]


async def test_a_running_job_among_thousands_refuses_every_update(caller: Caller, tables: Tables) -> None:
    tables.add_job(dedupe_key="key-5", payload=b"old")
    tables.add_picked_job(tables.add_worker(), dedupe_key="key-1500")
    with pytest.raises(DuplicateJobError) as refusal:
        keys = [f"key-{number}" for number in range(2000)]
        await caller.enqueue("mail", b"new", dedupe_key=keys, on_conflict="update")
    assert refusal.value.dedupe_keys == ["key-1500"]
    await caller.commit()
    assert [(job.dedupe_key, job.payload) for job in tables.jobs()] == [("key-5", b"old"), ("key-1500", None)]


async def test_the_same_key_twice_in_one_call_is_a_duplicate_of_itself(
    caller: Caller, tables: Tables
) -> None:
    with pytest.raises(DuplicateJobError) as refusal:
        await caller.enqueue("mail", dedupe_key=["order-5", "order-5"])
    assert refusal.value.dedupe_keys == ["order-5"]
    job_id, none = await caller.enqueue("mail", dedupe_key=["order-5", "order-5"], on_conflict="skip")
    with pytest.raises(InvalidJobError, match="dedupe_key given twice in one call: 'order-6'"):
        await caller.enqueue("mail", dedupe_key=["order-6", "order-6"], on_conflict="update")
    await caller.commit()
    assert none is None
    assert [job.id for job in tables.jobs()] == [job_id]


async def test_a_key_is_free_again_when_its_job_is_done(caller: Caller, tables: Tables) -> None:
    job_id = tables.add_job(dedupe_key="order-5")
    await caller.cancel([job_id])
    assert await caller.enqueue("mail", dedupe_key="order-5") != [job_id]
    await caller.commit()
    assert tables.count_jobs() == 1
