"""Workers: run in the test's own event loop, from their first look at the queue to their end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from pgq_orm import PgQueuer
from pgq_orm.applications import Application
from tests.eventually import aeventually
from tests.worker.queues import Queue

END_SECONDS = 30.0


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@asynccontextmanager
async def running(pgq: Application, **options: Any) -> AsyncIterator["asyncio.Task[None]"]:
    """A worker at work; at the end of the block it is asked to finish, and waited for."""
    work = asyncio.create_task(pgq.run(**options))
    try:
        yield work
        pgq.shutdown.set()
    except BaseException:
        pgq.stop_now()
        raise
    finally:
        await asyncio.wait_for(work, END_SECONDS)


@asynccontextmanager
async def idling(pgq: PgQueuer, queue: Queue, **options: Any) -> AsyncIterator["asyncio.Task[None]"]:
    """A worker that has looked, found nothing, and relies on being woken."""
    async with running(pgq, **options) as work:
        await aeventually(lambda: listens(queue) and is_quiet(queue))
        yield work


@contextmanager
def running_in_a_thread(pgq: PgQueuer, **options: Any) -> Iterator[None]:
    """A worker at work that does not mind what blocks the test's own event loop."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def work() -> None:
        loops.append(asyncio.get_running_loop())
        await pgq.run(**options)

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(asyncio.run, work())
        try:
            yield
        finally:
            loops[0].call_soon_threadsafe(pgq.shutdown.set)
            working.result(END_SECONDS)


class Deaf:
    """A listener that never hears anything."""

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        raise ConnectionError("no LISTEN through this pooler")


def listeners(queue: Queue) -> int:
    """How many workers listen."""
    return len(
        queue.scalars(
            """
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND query ILIKE 'LISTEN%' AND state = 'idle'
            """
        )
    )


def listens(queue: Queue) -> bool:
    """Whether a worker listens."""
    return listeners(queue) > 0


def is_quiet(queue: Queue, for_seconds: float = 0.3) -> bool:
    """Whether nobody else has sent a statement for a while."""
    return not queue.scalars(
        """
        SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'pgq-orm'
            AND GREATEST(query_start, state_change) > clock_timestamp() - make_interval(secs => :seconds)
        """,
        seconds=for_seconds,
    )
