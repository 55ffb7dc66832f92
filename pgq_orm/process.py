"""Process: runs a worker as a process of its own, from the first signal to the last thread."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from pgq_orm.applications import PgQueuer

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LEAVE_SECONDS = 5.0
"""How long handlers that cannot be interrupted may keep the process alive once the worker has ended."""
THREAD_SECONDS = 1.0
"""How long idle threads may take to notice that they are no longer needed."""


def run_process(opening: AbstractAsyncContextManager[PgQueuer], **options: Any) -> None:
    """Opens the application and runs it with `options` of `PgQueuer.run` until it ends.

    SIGTERM or SIGINT once: what runs is finished, the rest is given back. Twice: everything is given back now.
    Raises what `run()` raises. Does not return if a handler cannot be interrupted: the process exits.
    """
    others = threading.enumerate()
    leaving = threading.Timer(LEAVE_SECONDS, _leave)
    leaving.daemon = True
    # Ending the loop waits for tasks that ignore their cancellation, and for asyncio.to_thread, possibly for ever.
    asyncio.run(_run(opening, options, on_end=leaving.start))
    leaving.cancel()
    # The interpreter would wait for these.
    ours = [
        thread for thread in threading.enumerate() if thread.name.startswith("pgq-") and thread not in others
    ]
    deadline = time.monotonic() + THREAD_SECONDS
    for thread in ours:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in ours):
        _leave()


def _leave() -> None:
    logger.warning("Leaving behind what cannot be interrupted; its jobs have been given back")
    logging.shutdown()
    os._exit(os.EX_TEMPFAIL)


async def _run(
    opening: AbstractAsyncContextManager[PgQueuer], options: dict[str, Any], on_end: Callable[[], None]
) -> None:
    async with opening as pgq:
        loop = asyncio.get_running_loop()

        def end() -> None:
            if pgq.shutdown.is_set():
                logger.warning("Stopping now: what runs is interrupted and given back")
                pgq.stop_now()
            else:
                logger.info("Finishing what runs; the same signal again stops at once")
                pgq.shutdown.set()

        for number in SIGNALS:
            loop.add_signal_handler(number, end)
        try:
            await pgq.run(**options)
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
    on_end()
