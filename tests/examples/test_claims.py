"""The summary's claims: each is broken by what it is about, and by nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from example_project.demo.claims import claims
from example_project.demo.customers import Told
from example_project.demo.findings import Findings

TOLD = Told(ordered={"KC-A", "KC-B"}, declined={"KC-X"}, moved={"t1"}, over_limit={"t9"})
TICK = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = Findings(
    orders={"KC-A": 900, "KC-B": 100},
    receipts={"KC-A": 1, "KC-B": 1},
    receipt_rows={"KC-A", "KC-B"},
    transfers={"t1": 50},
    entries={"KC-A": [900, -900], "KC-B": [-100, 100], "t1": [50, -50]},
    sales=1000,
    balances=[(TICK, 0, 0), (TICK + timedelta(seconds=1), 1050, 1050)],
    log={
        ("send_receipt", "successful"): 2,
        ("post_entry", "successful"): 3,
        ("draw_balance", "successful"): 2,
    },
    jobs_left=0,
    workers_left=0,
    worker_statuses={"pgq_worker": 0, "pgq run": 0},
    mentioned={"KC-A", "KC-B", "t1"},
    delays=[],
    has_commit_times=True,
)


def broken(found: Findings) -> set[str]:
    return {claim.subject for claim in claims(TOLD, found) if not claim.holds}


def test_all_claims_hold_when_everything_went_well() -> None:
    assert broken(FOUND) == set()


@pytest.mark.parametrize(
    ("subjects", "changes"),
    [
        ("Orders rolled back", {"mentioned": {"KC-A", "KC-X"}}),
        ("Receipts sent", {"receipts": {"KC-A": 1}}),
        ("Receipts sent", {"receipts": {"KC-A": 2, "KC-B": 1}}),
        ("Receipts sent", {"receipts": {"KC-A": 1, "KC-B": 1, "no order": 1}}),
        ("Receipts sent", {"receipt_rows": {"KC-A"}}),
        ("Transfers rolled back", {"mentioned": {"t1", "t9"}}),
        ("Entries posted", {"entries": {**FOUND.entries, "t1": [50, -50, 50, -50]}}),
        ("Entries posted", {"entries": {**FOUND.entries, "t9": [50, -50]}}),
        ("Entries posted, Books balance", {"entries": {**FOUND.entries, "t1": [50]}}),
        ("Books balance", {"sales": 900}),
        ("Balances drawn, Attempts logged", {"balances": FOUND.balances[:1]}),
        ("Balances drawn", {"balances": [(TICK, 0, 0), (TICK, 0, 0)]}),
        ("Balances drawn", {"balances": [(TICK, 0, 0), (TICK + timedelta(seconds=1), 1050, 1000)]}),
        ("Attempts logged", {"log": {**FOUND.log, ("send_receipt", "exception"): 1}}),
        ("Attempts logged", {"log": {**FOUND.log, ("post_entry", "successful"): 4}}),
        ("Jobs left", {"jobs_left": 1}),
        ("Workers stopped", {"worker_statuses": {"pgq_worker": 0, "pgq run": -9}}),
        ("Workers stopped", {"workers_left": 1}),
    ],
)
def test_a_claim_is_broken_by_what_it_is_about(subjects: str, changes: dict[str, Any]) -> None:
    assert broken(replace(FOUND, **changes)) == set(subjects.split(", "))


def test_an_order_that_was_lost_breaks_what_depends_on_it() -> None:
    found = replace(FOUND, orders={"KC-A": 900})
    assert broken(found) == {
        "Orders placed",
        "Receipts sent",
        "Entries posted",
        "Books balance",
        "Attempts logged",
    }


def test_a_broken_claim_names_some_of_the_culprits() -> None:
    lost = Told(ordered={f"KC-{number}" for number in range(5)})
    (placed, *_) = claims(lost, replace(FOUND, orders={}))
    assert placed.problems == ("told, but not in the database: KC-0, KC-1, KC-2 and 2 more",)
