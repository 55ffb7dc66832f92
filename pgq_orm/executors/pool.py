"""Pool: at most so many of something costly, made when first needed and kept for the next job."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, Literal, Protocol, TypeVar

from pgq_orm.outcomes import Snooze


class Member(Protocol):
    """What a pool lends."""

    @property
    def is_fit(self) -> bool:
        """Whether it may be lent again."""
        ...

    def close(self) -> None:
        """Ends it; may block."""
        ...


MemberT = TypeVar("MemberT", bound=Member)


class Pool(Generic[MemberT]):
    """Lends one member to each job. Jobs that find none free wait, until the worker is asked to end."""

    def __init__(self, size: int, make: Callable[[], MemberT], shutdown: asyncio.Event) -> None:
        self._make = make
        self._shutdown = shutdown
        self._turns = asyncio.Semaphore(size)
        self._idle: list[MemberT] = []  # loop thread only

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[MemberT]:
        """A member for as long as the block lasts. Raises Snooze if the worker is to end before one is free."""
        await self._wait_for_turn()
        try:
            member = await self._take()
            try:
                yield member
            finally:
                await self._take_back(member)
        finally:
            self._turns.release()

    async def close(self) -> None:
        """Ends the members that nobody has. To be called once no job runs any more."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(asyncio.to_thread(member.close) for member in idle))

    async def _take(self) -> MemberT:
        while self._idle:
            member = self._idle.pop()
            if member.is_fit:  # still: somebody may have killed it meanwhile
                return member
            await asyncio.to_thread(member.close)
        return self._make()

    async def _take_back(self, member: MemberT) -> None:
        if member.is_fit:
            self._idle.append(member)
        else:
            await asyncio.to_thread(member.close)

    async def _wait_for_turn(self) -> None:
        turn = asyncio.ensure_future(self._turns.acquire())
        ending = asyncio.ensure_future(self._shutdown.wait())
        try:
            await asyncio.wait((turn, ending), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            turn.add_done_callback(self._give_back)
            raise
        finally:
            ending.cancel()
            turn.cancel()  # changes nothing once it is ours
        if not turn.done():
            raise Snooze(timedelta(0))  # another worker may have room for it at once

    def _give_back(self, turn: "asyncio.Future[Literal[True]]") -> None:
        if not turn.cancelled():
            self._turns.release()
