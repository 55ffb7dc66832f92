"""Hearing: what a store's listener hears, from the moment it is ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pgq_orm.store import Store


@asynccontextmanager
async def hearing(store: Store) -> AsyncIterator[list[str]]:
    """The payloads that come while the block runs, one after the other."""
    heard: list[str] = []
    is_ready = asyncio.Event()
    listening = asyncio.create_task(store.listener.listen(heard.append, is_ready.set))
    try:
        await asyncio.wait_for(is_ready.wait(), 30)
        yield heard
    finally:
        listening.cancel()
        await asyncio.wait([listening])
