"""Scopes: what a handler does to its connection stays its own affair."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction

from pgq_orm.applications import PgQueuer
from pgq_orm.executors import EntrypointExecutor
from pgq_orm.models import Context, Job
from pgq_orm.registry import Registry
from pgq_orm.retries import Backoff
from pgq_orm.worker import runner
from pgq_orm.worker.settings import QueueExecutionMode
from pgq_orm_django import aenqueue, enqueue, models
from pgq_orm_django.scopes import ConnectionScopes
from pgq_orm_django.store import DatabaseStore
from tests.django_app.shop.models import Order
from tests.eventually import aeventually, eventually

pytestmark = pytest.mark.usefixtures("db")


def drain(handler: Callable[..., Any], jobs: int = 1, **options: Any) -> None:
    """Runs so many jobs with the handler, in a worker of this process."""
    registry = Registry()
    registry.entrypoint("mail")(handler)
    enqueue(["mail"] * jobs)
    work(registry, **options)


def work(registry: Registry, **options: Any) -> None:
    pgq = PgQueuer(DatabaseStore("default"), registry=registry)
    asyncio.run(pgq.run(mode=QueueExecutionMode.drain, **options))


def outcomes() -> list[tuple[str, str | None]]:
    return list(models.Log.objects.order_by("id").values_list("status", "error"))


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def close_it() -> None:
    connection.close()


def kill_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def break_its_transaction() -> None:
    transaction.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def leave_a_transaction_open() -> None:
    transaction.set_autocommit(False)
    Order.objects.create(number="never committed")


def begin_behind_djangos_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    Order.objects.create(number="never committed")


MISTREATMENTS = [
    close_it,
    kill_it,
    break_its_transaction,
    leave_a_transaction_open,
    begin_behind_djangos_back,
]
mistreated = pytest.mark.parametrize("mistreat", MISTREATMENTS, ids=lambda mistreat: mistreat.__name__)


@pytest.fixture(params=["for one job", "for long", "in a pool"])
def lasting(request: pytest.FixtureRequest, db: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How the project lets its connections last."""
    settings: dict[str, Any] = connection.settings_dict
    match request.param:
        case "for long":
            monkeypatch.setitem(settings, "CONN_MAX_AGE", 600)
        case "in a pool":
            pool = {"min_size": 1, "max_size": 3}  # the test's own connection is one of them
            monkeypatch.setitem(settings, "OPTIONS", {**settings["OPTIONS"], "pool": pool})
    yield request.param
    postgresql: Any = connection
    postgresql.close()
    postgresql.close_pool()


def test_a_pool_that_is_too_small_is_told(lasting: str, caplog: pytest.LogCaptureFixture) -> None:
    drain(lambda job: None, jobs=1, max_concurrent_tasks=4)
    assert (
        "they may want 4 at a time, and the pool of DATABASES['default'] has 3 (max_size)" in caplog.text
    ) == (lasting == "in a pool")


@pytest.mark.parametrize(
    "options", [True, {"min_size": 2}, {"max_size": 9, "timeout": 3}, {"max_size": None}], ids=repr
)
def test_the_pool_is_known_as_it_is(db: str, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    settings: dict[str, Any] = connection.settings_dict
    monkeypatch.setitem(settings, "OPTIONS", {**settings["OPTIONS"], "pool": options})
    known, postgresql = ConnectionScopes("default").pool(), cast(Any, connection)
    assert known is not None
    assert (known.connections, known.patience_seconds) == (postgresql.pool.max_size, postgresql.pool.timeout)
    postgresql.close_pool()


@mistreated
@pytest.mark.usefixtures("lasting")
class TestAMistreatedConnection:
    """The second job runs in the same thread, and must not notice."""

    def test_does_not_harm_the_next_job_of_its_thread(self, mistreat: Callable[[], None]) -> None:
        threads = []

        def handler(job: Job) -> None:
            threads.append(threading.get_ident())
            if len(threads) == 1:
                mistreat()
            else:
                with transaction.atomic():
                    Order.objects.create(number="second")

        drain(handler, jobs=2, max_concurrent_tasks=1)
        assert threads[0] == threads[1]
        self.check(mistreat)

    def test_does_not_harm_the_next_job_of_its_slot(self, mistreat: Callable[[], None]) -> None:
        threads = []

        def work() -> None:
            threads.append(threading.get_ident())
            if len(threads) == 1:
                mistreat()
            else:
                with transaction.atomic():
                    Order.objects.create(number="second")

        async def handler(job: Job) -> None:
            await sync_to_async(work)()

        drain(handler, jobs=2, max_concurrent_tasks=1)
        assert threads[0] == threads[1]
        self.check(mistreat)

    def check(self, mistreat: Callable[[], None]) -> None:
        assert [order.number for order in Order.objects.all()] == ["second"]
        first, second = outcomes()
        assert first[0] == ("exception" if mistreat in (kill_it, break_its_transaction) else "successful")
        assert second == ("successful", None)


@pytest.mark.usefixtures("lasting")
def test_a_job_that_killed_its_connection_is_run_again_on_a_good_one() -> None:
    registry = Registry()
    pids = []

    @registry.entrypoint("mail", backoff=Backoff(initial=timedelta(0)), max_attempts=2)
    def handler(job: Job) -> None:
        pids.append(backend_pid())
        if job.attempts == 0:
            kill_it()

    enqueue("mail")
    work(registry)
    assert len(set(pids)) == 2
    assert [status for status, _ in outcomes()] == ["exception", "successful"]


def test_health_checks_spare_a_job_a_connection_that_was_killed_while_nobody_used_it(
    lasting: str, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    pids: list[int] = []

    def handler(job: Job) -> None:
        if len(pids) != 1:
            pids.append(backend_pid())
            return
        pids.append(0)
        with psycopg.connect(db, autocommit=True) as stranger:
            stranger.execute("SELECT pg_terminate_backend(%s, 30000)", pids[:1])

    drain(handler, jobs=3, max_concurrent_tasks=1)
    assert outcomes() == [("successful", None)] * 3
    assert pids[0] != pids[2]


def test_an_async_job_has_one_thread_and_one_connection() -> None:
    pids = []

    async def handler(job: Job) -> None:
        pids.append([await sync_to_async(backend_pid)() for _ in range(3)])

    drain(handler)
    assert len(set(pids[0])) == 1


def test_async_jobs_that_run_together_have_connections_of_their_own() -> None:
    pids = []
    both_run = asyncio.Barrier(2)

    async def handler(job: Job) -> None:
        await both_run.wait()
        pids.append(await sync_to_async(backend_pid)())
        await both_run.wait()

    drain(handler, jobs=2)
    assert pids[0] != pids[1]


def test_the_orms_async_methods_see_what_the_job_wrote() -> None:
    async def handler(job: Job) -> None:
        await Order.objects.acreate(number="one")
        await aenqueue("mail", queue="next")
        order = await Order.objects.aget()
        order.receipts = 1
        await order.asave()

    drain(handler)
    assert outcomes() == [("successful", None)]
    assert Order.objects.get().receipts == 1
    assert models.Job.objects.get().queue == "next"


def test_async_code_within_a_sync_job_shares_its_connection() -> None:
    pids = []

    async def work() -> None:
        pids.append(await sync_to_async(backend_pid)())

    def handler(job: Job) -> None:
        pids.append(backend_pid())
        async_to_sync(work)()

    drain(handler)
    assert pids[0] == pids[1]


def test_what_a_job_enqueues_in_a_block_that_rolls_back_is_gone() -> None:
    def handler(job: Job) -> None:
        with transaction.atomic():
            enqueue("mail", queue="next")
            raise ZeroDivisionError("refused")

    drain(handler)
    assert outcomes() == [("exception", "ZeroDivisionError: refused")]
    assert not models.Job.objects.exists()


async def wait_for_it(call: Callable[[], Any], context: Context) -> None:
    await sync_to_async(call)()


async def wait_until_asked_to_stop(call: Callable[[], Any], context: Context) -> None:
    with context.cancellation:
        await sync_to_async(call)()


async def give_it_up(call: Callable[[], Any], context: Context) -> None:
    has_begun = threading.Event()  # or there would be nothing to be left

    def begin() -> None:
        has_begun.set()
        call()

    calling = asyncio.create_task(sync_to_async(begin)())
    await aeventually(has_begun.is_set)
    with suppress(TimeoutError):
        await asyncio.wait_for(calling, timeout=0.05)


async def let_it_run(call: Callable[[], Any], context: Context) -> None:
    calling = asyncio.create_task(sync_to_async(call)())
    context.resources[context.job.id] = calling  # the loop itself keeps no more than a weak reference
    await asyncio.sleep(0)


async def wait_for_one_of_two(call: Callable[[], Any], context: Context) -> None:
    await asyncio.gather(sync_to_async(call)(), sync_to_async(int)())


async def wait_within(handling: Awaitable[object]) -> object:
    async with asyncio.timeout(0.1):
        return await handling


async def wait_for_within(handling: Awaitable[object]) -> object:
    return await asyncio.wait_for(handling, 0.1)


leaving = pytest.mark.parametrize(
    "leave",
    [wait_for_it, wait_until_asked_to_stop, give_it_up, let_it_run, wait_for_one_of_two],
    ids=lambda leave: leave.__name__,
)


class TestACallThatTheHandlerHasLeftRunning:
    @leaving
    @pytest.mark.parametrize("slots", [1, 2])
    def test_keeps_the_slot_and_the_limit_until_it_has_ended(
        self, leave: Callable[..., Any], slots: int
    ) -> None:
        events: list[str] = []
        registry = Registry()

        # a timeout that strikes during the call, however long a thread takes to begin it
        is_interrupted = leave in (wait_for_it, wait_until_asked_to_stop)
        timeout = timedelta(seconds=1 if is_interrupted else 60)
        call_seconds = 1.2 if is_interrupted else 0.4

        def sleep() -> None:
            events.append("calls")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s)", [call_seconds])
            events.append("ends")

        @registry.entrypoint("mail", timeout=timeout, concurrency_limit=1)
        async def handler(job: Job, context: Context) -> None:
            events.append("begins")
            await leave(sleep, context)

        enqueue(["mail"] * 2)
        work(registry, max_concurrent_tasks=slots)
        assert events == ["begins", "calls", "ends"] * 2

    @pytest.mark.parametrize("limit", [wait_within, wait_for_within], ids=["timeout", "wait_for"])
    def test_keeps_them_when_an_executor_of_the_applications_gives_up_the_handler(
        self, limit: Callable[[Awaitable[object]], Awaitable[object]]
    ) -> None:
        events: list[str] = []
        registry = Registry()

        class Limited(EntrypointExecutor):
            async def execute(self, job: Job, context: Context) -> Any:
                return await limit(super().execute(job, context))

        def sleep() -> None:
            events.append("calls")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.5)")
            events.append("ends")

        @registry.entrypoint("mail", executor_factory=Limited, concurrency_limit=1)
        async def handler(job: Job) -> None:
            await sync_to_async(sleep)()

        enqueue(["mail"] * 2)
        work(registry, max_concurrent_tasks=2)
        assert events == ["calls", "ends"] * 2

    @leaving
    def test_does_not_keep_the_worker_from_ending_at_once(
        self, leave: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "INTERRUPTION_SECONDS", 0.2)
        registry, called, released, ended = Registry(), *(threading.Event() for _ in range(3))
        pgq = PgQueuer(DatabaseStore("default"), registry=registry)

        def hang() -> None:
            connection.ensure_connection()
            called.set()
            released.wait(60)
            ended.set()

        @registry.entrypoint("mail")
        async def handler(job: Job, context: Context) -> None:
            await leave(hang, context)

        async def stop_in_the_middle() -> None:
            running = asyncio.create_task(pgq.run())
            await aeventually(called.is_set)
            pgq.stop_now()
            await running

        enqueue("mail")
        asyncio.run(stop_in_the_middle())
        assert not ended.is_set()
        released.set()
        assert [(job.status, job.attempts) for job in models.Job.objects.all()] == [("queued", 0)]
        eventually(lambda: other_connections() == 0)


def test_a_job_that_needs_no_database_opens_no_connection() -> None:
    counts = []
    before = set(threading.enumerate())  # another worker's may be about to end

    async def handler(job: Job) -> None:
        threads = set(threading.enumerate()) - before
        counts.append(sum(thread.name.startswith("pgq-handler") for thread in threads))

    drain(handler, jobs=3)
    assert counts == [0, 0, 0]


def test_the_connections_end_with_the_worker() -> None:
    async def handler(job: Job) -> None:
        await Order.objects.acount()

    drain(handler, jobs=3)
    eventually(lambda: other_connections() == 0)


def other_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])
