"""Every statement finds its rows by the index made for them, however many others there are."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import TypeAlias, get_args

import psycopg
import pytest

from pgq_orm.sql import names
from pgq_orm.store import BOOKKEEPING_SETTINGS
from tests.databases import database_name, fresh_database
from tests.sql import backlog
from tests.sql.prepared import Plan, PlanMode, explain
from tests.sql.scenarios import SCENARIOS, Knowledge, Scenario, Sender

# One process for all of them: to fill the tables takes a second.
pytestmark = pytest.mark.xdist_group("plans")

MOST_ROWS = 5_000
"""That a statement reads by index, with its functions and triggers: a fraction of any table that grows."""

MOST_PAIRS = 250_000
"""That joins compare in vain: little more than one for each row of a table that is read whole, not all with all."""

LOOKS = 3
"""How many times a statement is carried out, to leave out what the server has to look up now and then."""

PLAN_MODES: dict[Knowledge, tuple[PlanMode, ...]] = {
    # for the values at hand, and for any: drivers that prepare statements come to the second
    knowledge: ("force_generic_plan",) if knowledge == "a plan for no rows" else get_args(PlanMode)
    for knowledge in get_args(Knowledge)
}
Senders: TypeAlias = dict[Sender, psycopg.Connection]


@pytest.fixture(scope="module")
def find_senders(server_dsn: str, template_dsn: str) -> Iterator[Callable[[Knowledge], Senders]]:
    """Makes a database for each kind of knowledge, when it is asked for."""
    with ExitStack() as stack:

        @cache
        def find_senders(knowledge: Knowledge) -> Senders:
            dsn = stack.enter_context(fresh_database(server_dsn, template=database_name(template_dsn)))
            owner, worker, application = (
                stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(3)
            )
            for name, value in BOOKKEEPING_SETTINGS.items():
                worker.execute("SELECT set_config(%s, %s, false)", [name, value])
            senders: Senders = {"worker": worker, "application": application}
            prepare_tables(owner, senders, knowledge)
            return senders

        yield find_senders


def prepare_tables(owner: psycopg.Connection, senders: Senders, knowledge: Knowledge) -> None:
    for table in backlog.BIG_TABLES:
        owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
    if knowledge == "a plan for no rows":
        for scenario in SCENARIOS:
            plan_for(scenario, senders, "force_generic_plan", keeps_plan=True)
    if knowledge == "stale statistics":
        backlog.mislead(owner)
    if knowledge != "no rows":
        with owner.transaction():
            backlog.load(owner)
            if knowledge == "statistics of no rows":
                # Nobody else sees the rows yet, only pages without any: each way to read them seems to cost nothing.
                senders["worker"].execute("ANALYZE")
    if knowledge == "fresh statistics":
        owner.execute("ANALYZE")


def plan_for(scenario: Scenario, senders: Senders, mode: PlanMode, *, keeps_plan: bool) -> Plan:
    return explain(senders[scenario.sender], scenario.operation, mode, keeps_plan=keeps_plan)


def test_every_statement_has_a_scenario() -> None:
    assert {scenario.operation.statement.name for scenario in SCENARIOS} == set(names())


@pytest.mark.parametrize(
    ("scenario", "knowledge"),
    [
        pytest.param(scenario, knowledge, id=f"{scenario.name}, with {knowledge}")
        for scenario in SCENARIOS
        for knowledge in get_args(Knowledge)
    ],
)
def test_a_statement_touches_what_it_is_about_and_no_more(
    scenario: Scenario, knowledge: Knowledge, find_senders: Callable[[Knowledge], Senders]
) -> None:
    senders = find_senders(knowledge)
    keeps_plan = knowledge == "a plan for no rows"
    for mode in PLAN_MODES[knowledge]:
        # The server reads its catalogue, too, for a function's first call, and for tables it has vacuumed meanwhile.
        plan = min(
            (plan_for(scenario, senders, mode, keeps_plan=keeps_plan) for _ in range(LOOKS)),
            key=lambda plan: plan.blocks,
        )
        assert plan.compared < MOST_PAIRS
        if scenario.reads_whole is not None:
            assert plan.swept.keys() & backlog.BIG_TABLES <= {scenario.reads_whole}
            continue
        assert not plan.swept.keys() & backlog.BIG_TABLES
        assert plan.fetched < MOST_ROWS
        assert plan.blocks <= scenario.blocks
        if knowledge != "no rows" or scenario.sender == "worker":
            assert {
                index for index in plan.indexes if index.startswith(backlog.BIG_TABLES)
            } <= scenario.indexes
            assert not (scenario.is_ordered and plan.sorts)
