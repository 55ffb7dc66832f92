"""Registration: what cannot be transactional is refused, with a reason, before anything is picked."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from django.db import connections
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgq_orm import INJECTED, PgQueuer
from pgq_orm.errors import RegistrationError
from pgq_orm.executors import (
    AbstractEntrypointExecutor,
    EntrypointExecutor,
    ProcessExecutor,
    RetryWithBackoffEntrypointExecutor,
    SubInterpreterExecutor,
    SubprocessExecutor,
)
from pgq_orm.models import Context, Job, Schedule
from pgq_orm_django.store import DatabaseStore
from tests.conformance.project import point
from tests.databases import sqlalchemy_url
from tests.eventually import aeventually
from tests.executors import handlers
from tests.transactional.desks import DESKS, Desk, Hand
from tests.transactional.ledgers import Ledger
from tests.transactional.test_completion import DRAIN
from tests.worker.workers import running


@pytest.fixture
async def pgq(ledger: Ledger) -> AsyncIterator[PgQueuer]:
    engine = create_async_engine(sqlalchemy_url(ledger.dsn))
    yield PgQueuer(engine)
    await engine.dispose()


async def refused(pgq: PgQueuer, ledger: Ledger, words: str) -> None:
    """The worker says why it does not start, and has picked nothing."""
    ledger.enqueue("post")
    with pytest.raises(RegistrationError, match=words):
        await pgq.run(mode=DRAIN)
    assert [job.status for job in ledger.jobs()] == ["queued"]


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_it_is_true_or_false(pgq: PgQueuer, value: Any) -> None:
    with pytest.raises(RegistrationError, match=f"transactional must be True or False, not {value!r}"):
        pgq.entrypoint("post", transactional=value)


async def test_a_handler_without_a_session_is_refused(pgq: PgQueuer, ledger: Ledger) -> None:
    @pgq.entrypoint("post", transactional=True)
    async def post(job: Job) -> None: ...

    await refused(
        pgq, ledger, r"post is registered with transactional=True, and .* exactly one .*; it has none"
    )


async def test_a_handler_with_two_sessions_is_refused(pgq: PgQueuer, ledger: Ledger) -> None:
    @pgq.entrypoint("post", transactional=True)
    async def post(job: Job, one: AsyncSession, other: AsyncSession) -> None: ...

    await refused(pgq, ledger, "exactly one parameter .*; it has 2: one, other")


async def test_a_session_that_the_handler_cannot_use_is_refused(pgq: PgQueuer, ledger: Ledger) -> None:
    @pgq.entrypoint("post", transactional=True)
    def post(job: Job, session: AsyncSession) -> None: ...

    await refused(pgq, ledger, "a plain function cannot await an AsyncSession: make it `async def`")


async def test_a_session_that_would_block_the_loop_is_refused(ledger: Ledger) -> None:
    engine = create_engine(sqlalchemy_url(ledger.dsn))
    pgq = PgQueuer(engine)

    @pgq.entrypoint("post", transactional=True)
    async def post(job: Job, session: Session) -> None: ...

    await refused(pgq, ledger, "a Session would block the event loop: make it a plain `def`")
    engine.dispose()


@pytest.mark.parametrize("executor", [ProcessExecutor, SubprocessExecutor, SubInterpreterExecutor])
def test_an_executor_that_works_elsewhere_is_refused(pgq: PgQueuer, executor: Any) -> None:
    with pytest.raises(
        RegistrationError, match=f"{executor.__name__} has no transactional: .* EntrypointExecutor"
    ):
        pgq.entrypoint("post", transactional=True, executor_factory=executor)(handlers.double)
    assert "post" not in pgq.registry.entrypoints


async def test_an_executor_that_a_lambda_hides_is_refused_when_the_worker_starts(
    pgq: PgQueuer, ledger: Ledger
) -> None:
    class Own(AbstractEntrypointExecutor):
        async def execute(self, job: Job, context: Context) -> None: ...

    @pgq.entrypoint("post", transactional=True, executor_factory=lambda parameters: Own(parameters))
    async def post(job: Job, session: AsyncSession) -> None: ...

    await refused(pgq, ledger, "Own has no transactional")


async def test_an_engine_in_autocommit_mode_has_no_transaction_to_offer(ledger: Ledger) -> None:
    desk = DESKS["async session, psycopg"](ledger.dsn, isolation_level="AUTOCOMMIT")

    async def work(job: Job, hand: Hand) -> None:
        await hand.write(job, "alone")

    desk.handle("post", work)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    await desk.close()
    [entry] = ledger.log(job_id)
    assert (ledger.sides(job_id), entry.status) == ([], "exception")
    assert "give PgQueuer an engine without isolation_level='AUTOCOMMIT'" in entry.error


async def test_a_django_database_without_autocommit_is_refused(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    using = point(ledger.dsn)
    monkeypatch.setitem(connections[using].settings_dict, "AUTOCOMMIT", False)
    pgq = PgQueuer(DatabaseStore(using))

    @pgq.entrypoint("post", transactional=True)
    def post(job: Job) -> None: ...

    await refused(pgq, ledger, r"DATABASES\['default'\]\['AUTOCOMMIT'\] is False")


# What else is registered


async def test_a_schedules_handler_may_be_transactional(pgq: PgQueuer, ledger: Ledger) -> None:
    @pgq.schedule("balance", "* * * * * *", transactional=True)
    async def balance(schedule: Schedule, session: AsyncSession) -> None:
        await session.execute(text("INSERT INTO ledger VALUES (0, :tick)"), {"tick": str(schedule.last_run)})

    async with running(pgq):
        await aeventually(lambda: len(ledger.log()) >= 2)
    assert len(ledger.entries()) == len(ledger.log()) == ledger.statuses().count("successful")


async def test_a_task_may_be_transactional(pgq: PgQueuer, ledger: Ledger) -> None:
    @pgq.task(transactional=True)
    async def post(number: int, session: AsyncSession = INJECTED) -> int:
        await session.execute(text("INSERT INTO ledger VALUES (:number, 'task')"), {"number": number})
        if number < 0:
            raise ValueError(number)
        return number

    ledger.enqueue(post.name, arguments=[{"number": 7}, {"number": -7}])
    await pgq.run(mode=DRAIN)
    assert ledger.sides(7) == ["task"]
    assert ledger.sides(-7) == []


async def test_an_executor_that_tries_again_in_place_keeps_the_writes_of_the_call_that_succeeded(
    desk: Desk, ledger: Ledger
) -> None:
    calls: list[int] = []

    async def work(job: Job, hand: Hand) -> int:
        calls.append(len(calls) + 1)
        await hand.write(job, f"call {calls[-1]}")
        if calls[-1] < 3:
            raise ValueError("not yet")
        return calls[-1]

    factory = partial(RetryWithBackoffEntrypointExecutor, initial_delay=0)
    desk.handle("post", work, executor_factory=factory)
    [job_id] = ledger.enqueue("post")
    await desk.pgq.run(mode=DRAIN)
    assert ledger.sides(job_id) == ["call 3"]
    assert [(entry.status, entry.result) for entry in ledger.log()] == [("successful", 3)]


async def test_a_context_of_somebody_elses_making_cannot_end_the_job(pgq: PgQueuer, ledger: Ledger) -> None:
    class Forgetful(EntrypointExecutor):
        async def execute(self, job: Job, context: Context) -> Any:
            return await super().execute(job, Context(job))

    @pgq.entrypoint("post", transactional=True, executor_factory=Forgetful)
    async def post(job: Job, session: AsyncSession) -> None: ...

    ledger.enqueue("post")
    await pgq.run(mode=DRAIN)
    [entry] = ledger.log()
    assert entry.status == "exception"
    assert "pass on to execute() the one that was given" in entry.error
