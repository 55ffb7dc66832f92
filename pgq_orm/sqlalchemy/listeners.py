"""Listeners: hear NOTIFY on a bare driver connection, borrowed from the engine so that it connects the same way."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from pgq_orm.errors import SessionError
from pgq_orm.listening import LISTENS, listen_on_psycopg, require_listening, seen_through
from pgq_orm.sqlalchemy.bookkeeping import borrowed
from pgq_orm.store import BOOKKEEPING_SETTINGS, CHANNEL, LISTEN_CHECK_SECONDS


class EngineListener:
    """Listens with whichever driver the engine has."""

    def __init__(self, engine: AsyncEngine | Engine) -> None:
        self._engine = engine

    async def listen(self, on_notice: Callable[[str], None], on_ready: Callable[[], None]) -> None:
        if isinstance(self._engine, Engine):
            await self._listen_on_sync(self._engine, on_notice, on_ready)
            return
        async with aclosing(await borrowed(self._engine)) as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                if self._engine.driver == "asyncpg":
                    await _listen_on_asyncpg(driver, on_notice, on_ready)
                else:
                    await listen_on_psycopg(driver, on_notice, on_ready)
            finally:
                await connection.invalidate()  # it listens, so nobody else may get it

    async def _listen_on_sync(
        self, engine: Engine, on_notice: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        if engine.driver != "psycopg":
            raise SessionError(f"cannot listen with {engine.driver}: use postgresql+psycopg")
        dsn, password = await asyncio.to_thread(_address, engine)
        import psycopg

        connecting = psycopg.AsyncConnection.connect(
            dsn, password=password, autocommit=True, application_name=BOOKKEEPING_SETTINGS["application_name"]
        )
        async with await seen_through(connecting) as driver:
            await listen_on_psycopg(driver, on_notice, on_ready)


def _address(engine: Engine) -> tuple[str, str]:
    """The DSN by which the engine connects, whatever its events make of it, and the password apart."""
    borrowed = engine.raw_connection()
    info = borrowed.driver_connection.info  # type: ignore[union-attr]
    address = info.dsn, info.password
    # Not given back: if we are cancelled meanwhile the pool may be closed by now, and would keep it open.
    borrowed.invalidate()
    return address


async def _listen_on_asyncpg(
    driver: Any, on_notice: Callable[[str], None], on_ready: Callable[[], None]
) -> None:
    terminated = asyncio.Event()
    driver.add_termination_listener(lambda _: terminated.set())
    await driver.add_listener(CHANNEL, lambda connection, pid, channel, payload: on_notice(payload))
    on_ready()
    while not terminated.is_set():
        try:
            await asyncio.wait_for(terminated.wait(), LISTEN_CHECK_SECONDS)
        except TimeoutError:
            async with asyncio.timeout(LISTEN_CHECK_SECONDS):
                require_listening(len(await driver.fetch(LISTENS)))
