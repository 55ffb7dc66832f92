"""Fixtures: the queue with a ledger beside it, and an application on each binding that writes into it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from django.test import override_settings

from tests.transactional.desks import DESKS, Desk
from tests.transactional.ledgers import Ledger
from tests.worker.wire import Wire, wire_to


@pytest.fixture
def ledger(dsn: str) -> Iterator[Ledger]:
    """The queue's database, seen from outside, with a table into which handlers write."""
    ledger = Ledger(dsn)
    ledger.lay_out()
    yield ledger
    ledger.close()


@pytest.fixture(autouse=True)
def _any_entrypoint() -> Iterator[None]:
    with override_settings(PGQ={"STRICT_ENTRYPOINTS": False}):
        yield


@pytest.fixture(params=DESKS.values(), ids=list(DESKS))
async def desk(request: pytest.FixtureRequest, ledger: Ledger) -> AsyncIterator[Desk]:
    """An application on each binding in turn."""
    desk: Desk = request.param(ledger.dsn)
    yield desk
    await desk.close()


@pytest.fixture
def wire(ledger: Ledger) -> Iterator[Wire]:
    """A way to the ledger's database that can be cut."""
    with wire_to(ledger.dsn) as wire:
        yield wire


@pytest.fixture(params=DESKS.values(), ids=list(DESKS))
async def wired_desk(request: pytest.FixtureRequest, wire: Wire) -> AsyncIterator[Desk]:
    """An application on each binding in turn, connected by the wire."""
    desk: Desk = request.param(wire.dsn)
    yield desk
    await desk.close()
