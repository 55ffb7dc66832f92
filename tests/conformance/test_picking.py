"""Picking: the jobs that are ready go out in their order, each to one living worker."""

from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from pgq_orm import operations
from pgq_orm.errors import InvalidJobError
from pgq_orm.models import Job
from pgq_orm.operations.picks import BEFORE_ALL_IDS, PRIORITIES, Stretch
from pgq_orm.statuses import JobStatus
from tests.conformance.bindings import Binding
from tests.conformance.ears import Ears
from tests.conformance.tables import Tables, ago
from tests.eventually import aeventually


@pytest.fixture
def worker_id(tables: Tables) -> UUID:
    return tables.add_worker()


async def picked_ids(binding: Binding, worker_id: UUID, batch_size: int = 100) -> list[int]:
    return [job.id for job in await binding.run(operations.pick(worker_id, "default", ["mail"], batch_size))]


async def test_a_picked_job_is_all_that_was_enqueued(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_job(
        payload=b"\x00bytes",
        arguments={"to": ["zoë", 1.5, None]},
        headers={"trace": "1"},
        priority=3,
        dedupe_key="order-5",
        max_attempts=4,
        attempts=2,
        lease=7,
        schedule_id=9,
    )
    before = tables.job(job_id)

    (job,) = await binding.run(operations.pick(worker_id, "default", ["mail"], 10))

    after = tables.job(job_id)
    assert job == Job(
        id=job_id,
        lease=8,
        created=before.created,
        updated=after.updated,
        execute_after=before.execute_after,
        priority=3,
        attempts=2,
        status=JobStatus.PICKED,
        queue="default",
        entrypoint="mail",
        payload=b"\x00bytes",
        arguments={"to": ["zoë", 1.5, None]},
        headers={"trace": "1"},
        dedupe_key="order-5",
        max_attempts=4,
        worker_id=worker_id,
        schedule_id=9,
    )
    assert type(job.payload) is bytes
    assert job.created.utcoffset() is not None


async def test_the_row_says_who_holds_the_job_and_since_when(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    earlier = ago(hours=1)
    job_id = tables.add_job(created=earlier, updated=earlier, execute_after=earlier, lease=7)
    started = tables.now()
    await picked_ids(binding, worker_id)
    job = tables.job(job_id)
    assert (job.status, job.worker_id, job.lease, job.attempts) == ("picked", worker_id, 8, 0)
    assert job.updated > started
    assert job.created < started


async def test_the_highest_priority_goes_first_and_among_equals_the_oldest(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_ids = {tables.add_job(priority=number * 7 % 10): -(number * 7 % 10) for number in range(50)}
    assert await picked_ids(binding, worker_id) == sorted(
        job_ids, key=lambda job_id: (job_ids[job_id], job_id)
    )


async def test_a_batch_takes_the_first_ones(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    low, high, middle = (tables.add_job(priority=priority) for priority in (1, 3, 2))
    assert await picked_ids(binding, worker_id, batch_size=2) == [high, middle]
    assert await picked_ids(binding, worker_id, batch_size=2) == [low]
    assert await picked_ids(binding, worker_id, batch_size=2) == []


async def test_other_queues_and_other_entrypoints_are_left_alone(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_job(queue="slow")
    tables.add_job(entrypoint="letter")
    mine = tables.add_job()
    assert await picked_ids(binding, worker_id) == [mine]
    assert await binding.run(operations.pick(worker_id, "default", [], 10)) == []


async def test_several_entrypoints_share_one_order(binding: Binding, tables: Tables, worker_id: UUID) -> None:
    job_ids = [tables.add_job(entrypoint=name) for name in ("mail", "letter", "mail")]
    jobs = await binding.run(operations.pick(worker_id, "default", ["letter", "mail"], 10))
    assert [job.id for job in jobs] == job_ids


async def test_json_that_python_cannot_read_fails_in_the_handler_and_not_the_pick(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    text = '{"n": 1' + "0" * 5000 + "}"
    rival.execute(
        "INSERT INTO pgq_job (entrypoint, arguments, headers) VALUES ('mail', %s, %s)", [text, text]
    )
    rival.commit()
    tables.add_job()
    garbled, good = await binding.run(operations.pick(worker_id, "default", ["mail"], 10))
    for read in (
        lambda: garbled.arguments["n"],
        lambda: dict(garbled.headers or {}),
        lambda: len(garbled.arguments),
    ):
        with pytest.raises(InvalidJobError, match="JSON that Python cannot read"):
            read()
    assert good.arguments == {}


@pytest.mark.parametrize("column", ["created", "execute_after"])
@pytest.mark.parametrize("instant", ["infinity", "-infinity", "1899-12-31 00:00Z", "9001-01-01 00:00Z"])
async def test_an_instant_that_a_pick_could_not_answer_is_not_stored(
    tables: Tables, column: str, instant: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=f"pgq_job_{column}_check"):
        tables.add_job(**{column: instant})


async def test_a_pick_can_begin_past_what_was_picked_before(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    low, high = tables.add_job(priority=1), tables.add_job(priority=2)
    higher, lower = tables.add_job(priority=3), tables.add_job()
    next_low, next_high = tables.add_job(priority=1), tables.add_job(priority=2)
    stretches = [
        Stretch(PRIORITIES[-1], 3, BEFORE_ALL_IDS),
        Stretch(2, 2, high),
        Stretch(1, 1, low),
        Stretch(0, PRIORITIES[0], BEFORE_ALL_IDS),
    ]
    for expected in ([higher, next_high, next_low], [lower], []):
        jobs = await binding.run(operations.pick(worker_id, "default", ["mail"], 3, stretches))
        assert [job.id for job in jobs] == expected
    assert await picked_ids(binding, worker_id) == [high, low]


async def test_a_pick_locks_no_more_jobs_than_it_takes(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    first, second = tables.add_job(priority=1), tables.add_job()
    stretches = [Stretch(PRIORITIES[-1], 1, BEFORE_ALL_IDS), Stretch(0, PRIORITIES[0], BEFORE_ALL_IDS)]
    pick = operations.pick(worker_id, "default", ["mail"], 1, stretches)
    picked = pick.read(rival.execute(pick.statement.pyformat.encode(), pick.params).fetchall())
    assert [job.id for job in picked] == [first]
    assert await picked_ids(binding, worker_id) == [second]


async def test_a_worker_that_nobody_knows_is_given_nothing(binding: Binding, tables: Tables) -> None:
    job_id = tables.add_job()
    assert await picked_ids(binding, uuid4()) == []
    assert tables.job(job_id).status == "queued"


async def test_what_runs_waits_or_is_deferred_is_not_picked(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    tables.add_picked_job(worker_id)
    tables.add_job(status="waiting")
    tables.add_job(execute_after=ago(hours=-1))
    assert await picked_ids(binding, worker_id) == []


async def test_two_pickers_never_share_a_job_nor_wait_for_each_other(
    binding: Binding, tables: Tables, worker_id: UUID, rival: psycopg.Connection
) -> None:
    first, second = tables.add_job(), tables.add_job()
    pick = operations.pick(tables.add_worker(), "default", ["mail"], 1)
    picked = pick.read(rival.execute(pick.statement.pyformat.encode(), pick.params).fetchall())
    assert [job.id for job in picked] == [first]

    assert await picked_ids(binding, worker_id) == [second]
    rival.commit()
    assert await picked_ids(binding, worker_id) == []


# Deferred jobs


async def test_without_deferred_jobs_there_is_nothing_to_wait_for(binding: Binding, tables: Tables) -> None:
    tables.add_job()
    tables.add_job(status="waiting", execute_after=ago(hours=-1))
    assert await binding.run(operations.promote(10)) is None


async def test_the_next_deferred_job_says_how_long_to_wait(binding: Binding, tables: Tables) -> None:
    for hours in (-3, -1, -2):
        tables.add_job(execute_after=ago(hours=hours))
    seconds = await binding.run(operations.promote(10))
    assert isinstance(seconds, float)
    assert 3590 < seconds <= 3600


async def test_a_deferred_job_is_ready_once_its_time_has_come(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    job_id = tables.add_job(updated=ago(minutes=2), execute_after=ago(minutes=1))
    tables.add_job(execute_after=ago(hours=-1))
    assert await picked_ids(binding, worker_id) == []
    assert await binding.run(operations.promote(10)) == 0
    assert await picked_ids(binding, worker_id) == [job_id]


@pytest.mark.parametrize("announce", [True, False])
async def test_a_promotion_announces_what_it_made_ready_if_asked_to(
    binding: Binding, tables: Tables, ears: Ears, announce: bool
) -> None:
    tables.add_job(execute_after=ago(seconds=1), updated=ago(seconds=2))
    ears.listen()
    assert await binding.run(operations.promote(10, announce=announce)) == 0
    assert await aeventually(ears.heard) == [""] if announce else ears.heard() == []
    assert await binding.run(operations.promote(10, announce=announce)) is None
    assert len(ears.heard()) <= 1


async def test_those_that_are_due_first_are_promoted_first(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    later = tables.add_job(updated=ago(minutes=9), execute_after=ago(minutes=1), priority=5)
    sooner = tables.add_job(updated=ago(minutes=9), execute_after=ago(minutes=2))
    assert await binding.run(operations.promote(1)) == 0
    assert await picked_ids(binding, worker_id) == [sooner]
    assert await binding.run(operations.promote(1)) == 0
    assert await picked_ids(binding, worker_id) == [later]
    assert await binding.run(operations.promote(1)) is None


async def test_a_job_that_was_enqueued_with_a_delay_is_picked_after_it(
    binding: Binding, tables: Tables, worker_id: UUID
) -> None:
    (insert,) = operations.enqueue("mail", execute_after=timedelta(milliseconds=5)).inserts
    (added,) = await binding.run(insert)
    while (seconds := await binding.run(operations.promote(10))) != 0:
        assert seconds is not None
        assert seconds <= 0.005
    assert await picked_ids(binding, worker_id) == [added.id]
