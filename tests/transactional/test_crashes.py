"""Crashes: whenever the worker's process is killed, every job's effects come about exactly once."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.eventually import aeventually, eventually
from tests.transactional.desks import DESKS
from tests.transactional.ledgers import AFTER, BEFORE, BETWEEN, COMMITTING, FINISHING, Ledger
from tests.transactional.program import COMMITTED, HEARTBEAT_TIMEOUT, register
from tests.worker.workers import running

ROOT = Path(__file__).parents[2]
JOBS = 3
DOORS = {
    "before the handler writes": BEFORE,
    "in the middle of its writes": BETWEEN,
    "after its writes": AFTER,
    "while the job is being ended": FINISHING,
    "while the server commits": COMMITTING,
}
STEPS = [*DOORS, COMMITTED]


@contextmanager
def victim(name: str, dsn: str, step: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker process that is to be killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.transactional.program", name, dsn, step],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kill_at(step: str, ledger: Ledger, name: str) -> None:
    """Has a worker run the jobs, and kills it at the step; returns when the server has done with its connections."""
    with ledger.shut(DOORS[step]) if step in DOORS else nullcontext() as door:
        with victim(name, ledger.dsn, step) as process:
            if door is not None:
                eventually(lambda: door.waiting == JOBS, timeout=40)
                process.kill()
            process.wait(20)
        if door is not None:
            door.open()
    eventually(lambda: ledger.other_connections() == 0)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", DESKS)
async def test_killed_at_any_step_a_job_has_its_effects_exactly_once(
    ledger: Ledger, name: str, step: str
) -> None:
    job_ids = ledger.enqueue("post", [None] * JOBS)
    kill_at(step, ledger, name)
    committed = ledger.statuses().count("successful")
    assert sum(ledger.entries().values()) == 2 * committed
    match step:
        case "while the server commits":
            assert committed == JOBS
        case "committed":
            assert committed >= 1
        case _:
            assert committed == 0

    desk = DESKS[name](ledger.dsn)
    register(desk)
    async with running(desk.pgq, heartbeat_timeout=HEARTBEAT_TIMEOUT):
        await aeventually(lambda: not ledger.jobs())
    await desk.close()

    assert ledger.entries() == Counter((job_id, side) for job_id in job_ids for side in ("credit", "debit"))
    assert ledger.scalars("SELECT count(*) FROM receipt") == [JOBS]
    successes = Counter(entry.job_id for entry in ledger.log() if entry.status == "successful")
    assert list(successes.values()) == [1] * 2 * JOBS  # the postings and their receipts
    crashes = [entry for entry in ledger.log() if entry.status != "successful" and entry.job_id in job_ids]
    assert len(crashes) == JOBS - committed
    assert all(crash.error.startswith("WorkerDied: ") for crash in crashes)
