"""Completion: waits for jobs to end. Look from outside of the transaction that enqueued them: nobody else sees them."""

import asyncio
import time
from datetime import timedelta
from functools import partial

from django.db import connections

from pgq_orm import completion
from pgq_orm.errors import SessionError
from pgq_orm.reports import Completion
from pgq_orm.waiting import looks_at, wait, wait_async
from pgq_orm_django.databases import default_alias
from pgq_orm_django.statements import run
from pgq_orm_django.store import DatabaseStore
from pgq_orm_django.twins import awaited


class CompletionWatcher(completion.CompletionWatcher):
    """Waits for jobs to end, for as many tasks as like, on one connection of its own: for programs that wait a lot.

    `refresh_interval`, `debounce` and `unseen_timeout` are those of `pgq_orm.completion.CompletionWatcher`.
    """

    def __init__(self, *, using: str | None = None, **options: timedelta) -> None:
        super().__init__(DatabaseStore(using or default_alias()), **options)


def wait_for(job_id: int, timeout: timedelta | None, *, using: str | None = None) -> Completion:
    """How a job ends: its status word, with `result` and `error`.

    Blocks until then, or for the timeout, and with None for as long as it takes. Raises CompletionTimeoutError,
    JobNotFoundError for a job that is not to be seen for five seconds, and SessionError inside `transaction.atomic()`,
    or with autocommit off, unless the job has ended already: workers cannot see what such a transaction has enqueued.
    """
    alias = using or default_alias()

    def pause(seconds: float) -> None:
        _refuse_to_wait_in_transaction(alias)
        time.sleep(seconds)

    return wait(looks_at(job_id, timeout), partial(run, using=alias), pause)


async def await_for(job_id: int, timeout: timedelta | None, *, using: str | None = None) -> Completion:
    """The same to be awaited; between two looks the ORM's thread is free for others."""
    alias = using or default_alias()

    async def pause(seconds: float) -> None:
        await _arefuse_to_wait_in_transaction(alias)
        await asyncio.sleep(seconds)

    return await wait_async(looks_at(job_id, timeout), partial(_arun, using=alias), pause)


def _refuse_to_wait_in_transaction(using: str) -> None:
    connection = connections[using]
    if not connection.in_atomic_block and not connection.get_autocommit():
        raise SessionError(
            "waiting for a job with autocommit off: what this connection's transaction has enqueued exists for workers "
            "only once it has committed, and what it has locked they would wait for; commit, and call "
            "transaction.set_autocommit(True) first"
        )
    if connection.in_atomic_block:
        raise SessionError(
            "waiting for a job inside transaction.atomic(): what this transaction has enqueued exists for workers only "
            "once it has committed, and what it has locked they would wait for; leave the block first"
        )


_arun = awaited(run)
_arefuse_to_wait_in_transaction = awaited(_refuse_to_wait_in_transaction)
