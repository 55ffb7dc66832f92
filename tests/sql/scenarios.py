"""Scenarios: what each statement is sent for, by which indexes it finds its rows, and how many blocks it may touch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from pgq_orm import administration, operations, orchestration, queues
from pgq_orm.limits import Limit
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import FailedAttempt, Outcome, Release
from pgq_orm.operations.picks import Stretch
from pgq_orm.operations.schedules import Tick
from pgq_orm.sql import statement
from pgq_orm.steps import Steps
from pgq_orm.workflows import Call, Chain
from tests.sql.backlog import FLOWING, HELD, LEASES, LIVING, LOGGED, QUEUES, READY, UNKNOWN, workflow_id

Sender = Literal["worker", "application"]
"""With whose settings a statement is executed: those of a worker's own connections, or the server's."""
Knowledge = Literal[
    "no rows",
    "no statistics",
    "statistics of no rows",
    "stale statistics",
    "fresh statistics",
    "a plan for no rows",
]
"""What the planner goes by. But for the first, the tables are full when the statement is executed."""

FEW = 60
"""Blocks, for all that does not depend on the number of rows handled."""
Wish: TypeAlias = Operation[Any] | Steps[Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One use of a statement, and what it may cost at the most, whatever else is in the tables."""

    name: str
    sender: Sender
    operation: Operation[Any]
    blocks: int
    """To find the rows that it is about, to lock them, to write them into table and indexes, and to log."""
    indexes: frozenset[str]
    """Those by which it may find rows of the tables that grow."""
    is_ordered: bool
    """Whether the index gives the order, so that nothing is to be sorted."""
    reads_whole: str | None
    """The table that it is there to read."""


def scenarios(
    wishes: Mapping[str, tuple[Wish, int]],
    *senders: Sender,
    indexes: str = "",
    is_ordered: bool = False,
    reads_whole: str | None = None,
) -> list[Scenario]:
    """One for each wish and sender, from (what is wished for, how many blocks it may touch) each."""
    operations = {
        name: (wish if isinstance(wish, Operation) else next(wish), blocks)
        for name, (wish, blocks) in wishes.items()
    }
    return [
        Scenario(
            f"{name}, by {sender}",
            sender,
            operation,
            blocks,
            frozenset(indexes.split()),
            is_ordered,
            reads_whole,
        )
        for name, (operation, blocks) in operations.items()
        for sender in senders
    ]


def later(name: str, **params: Any) -> Operation[Any]:
    """An operation that is asked for after the answer to another."""
    return Operation(statement(name), params, list)


def pick(count: int, *stretches: Stretch, queue: str = "default") -> Operation[Any]:
    return operations.pick(LIVING, queue, ["mail", "letter"], count, *([stretches] if stretches else []))


def pick_limited(entrypoint: str, limit: Limit, count: int = 100) -> Operation[Any]:
    return operations.pick_limited(LIVING, QUEUES, {entrypoint: limit}, count)


def enqueue(**said: Any) -> Operation[Any]:
    return operations.enqueue("mail", **said).inserts[0]


def finish(*job_ids: int, status: str = "successful") -> Operation[Any]:
    return operations.finish([Outcome(job_id, 1, status, 0.0, 0.1) for job_id in job_ids])


NOON, MIDNIGHT = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
WAITING, ENDED = list(READY[:100]), list(LOGGED[-2100:-2000])
KEYS = [f"key-{job_id}" for job_id in WAITING]
FLOW, ENDED_FLOW = workflow_id(FLOWING[0]), workflow_id(LOGGED[-1])
FLOORS = [Stretch(-number, -number, 10**9) for number in range(11, 211)]
CHANGES: Mapping[str, Any] = {
    "sets_concurrency": True, "concurrency": 1, "sets_rate_limit": False, "rate_limit": None, "window_seconds": None
}  # fmt: skip

SCENARIOS = [
    # First, while a connection has seen the indexes only when they were empty, and takes one for as good as another.
    *scenarios(
        {
            # a hundred of them run, and are counted
            "pick one of few": (pick_limited("limited", Limit(concurrency=200), 1), FEW + 100),
            "pick a hundred of few": (pick_limited("limited", Limit(concurrency=200)), FEW + 100 + 100 * 25),
            "pick at a rate": (pick_limited("limited", Limit(per_second=1)), FEW + 100),
            "pick when full": (pick_limited("limited", Limit(concurrency=100)), FEW + 100),
            "pick of a limited entrypoint without jobs": (pick_limited("letter", Limit(concurrency=9)), FEW),
            # the first thousand jobs in their order, then from key to key
            "pick by keys": (pick_limited("keyed", Limit(per_key=1), 20), FEW + 1000 + 200 * 5 + 20 * 25),
            "pick when the key is taken": (pick_limited("taken", Limit(per_key=1)), FEW + 500),
        },
        "worker",
        indexes="pgq_job_pkey",
    ),
    *scenarios(
        {
            "pick one": (pick(1), FEW),
            "pick a hundred": (pick(100), FEW + 100 * 25),
            "pick past a floor": (pick(1000, Stretch(5, 5, READY[-100])), FEW + 10 * 25),
            "pick past many floors": (pick(100, *FLOORS), FEW + 200 * 4),
            "pick from a paused queue": (pick(100, queue="queue 1"), FEW),
            "pick from a queue without jobs": (pick(100, queue="nowhere"), FEW),
            "pick for nobody": (operations.pick(UNKNOWN, "default", ["mail"], 100), FEW),
        },
        "worker",
        indexes="pgq_job_ready pgq_job_pkey",
        is_ordered=True,
    ),
    *scenarios(
        {"has_ready": (operations.has_ready("default", ["letter", "mail"]), FEW)},
        "worker",
        indexes="pgq_job_ready_entrypoint",
        is_ordered=True,
    ),
    *scenarios(
        {
            "find_ready_queues": (
                operations.find_ready_queues([*QUEUES, *(f"queue {number}" for number in range(98))]),
                FEW + 100 * 5,
            )
        },
        "worker",
        indexes="pgq_job_ready",
    ),
    *scenarios(
        {"promote": (operations.promote(100), FEW + 100 * 25)},
        "worker",
        indexes="pgq_job_deferred pgq_job_pkey",
        is_ordered=True,
    ),
    *scenarios(
        {
            "finish one": (finish(HELD[0]), FEW),
            "finish a hundred": (finish(*HELD), FEW + 100 * 10),
            "finish a parent": (finish(FLOWING[0]), FEW),
            "finish a parent without success": (finish(FLOWING[0], status="exception"), FEW),
        },
        "worker",
        "application",  # where the handler's transaction ends its job
        # either leads to no more rows than run at the moment
        indexes="pgq_job_pkey pgq_job_picked",
    ),
    *scenarios(
        {
            "retry": (
                operations.retry(LIVING, [FailedAttempt(*held, 1.0, 0.1, "E", "T") for held in LEASES]),
                FEW + 100 * 25,
            ),
            "release": (operations.release([Release(*held) for held in LEASES]), FEW + 100 * 25),
            "read_ending": (operations.read_ending(LEASES[0]), FEW),
            # it holds a hundred of the three hundred that are its own, and gives the others back
            "beat": (operations.beat(LIVING, LEASES, unheld_seconds=0.5), FEW + 300 * 20),
            "rescue": (operations.rescue(crash_limit=5, batch_size=1000), FEW + 100 * 30),
        },
        "worker",
        indexes="pgq_job_pkey pgq_job_picked",
    ),
    *scenarios(
        {"read_held": (operations.read_held([*HELD, FLOWING[0]]), FEW + 100 * 15)},
        "worker",
        indexes="pgq_job_pkey pgq_dependency_parent",
    ),
    *scenarios(
        {
            "prune": (operations.prune(retention=timedelta(minutes=5), batch_size=100), FEW + 100 * 10),
            "prune nothing": (operations.prune(retention=timedelta(days=30), batch_size=100), FEW),
        },
        "worker",
        indexes="pgq_log_pkey pgq_dependency_pkey",
    ),
    *scenarios(
        {
            "fire": (
                operations.fire([Tick(number, MIDNIGHT, NOON, True) for number in range(1, 11)]),
                FEW + 10 * 30,
            )
        },
        "worker",
        indexes="pgq_job_dedupe_key",
    ),
    *scenarios(
        {
            "register_worker": (
                operations.register_worker(
                    UNKNOWN, lease_seconds=30, pid=1, hostname="here", queues=QUEUES, entrypoints=["mail"]
                ),
                FEW,
            ),
            "unregister_worker": (operations.unregister_worker(LIVING), FEW),
            "register_schedules": (
                operations.register_schedules([("schedule 1", "@daily", "UTC", "all", "default", NOON)]),
                FEW,
            ),
            "clean_schedules": (operations.clean_schedules([("schedule 1", "@hourly")]), FEW),
            "read_schedules": (operations.read_schedules(["schedule 1"]), FEW),
            "read_clock": (operations.read_clock(), FEW),
            "take_tokens": (queues.take_tokens("queue 1", 10), FEW),
            "declare_queues": (queues.declare_queue(queues.Queue("queue 1")), FEW),
            "read_queues": (queues.read_queues(None), FEW),
            "has_version": (operations.has_version(), FEW),
            "read_version": (operations.read_version(), FEW),
        },
        "worker",
    ),
    *scenarios(
        {
            "enqueue_now": (enqueue(), FEW),
            "enqueue_one": (enqueue(execute_after=timedelta(hours=1)), FEW),
            "enqueue_keyless": (enqueue(priority=list(range(100))), FEW + 100 * 15),
            "enqueue": (enqueue(dedupe_key=KEYS, on_conflict="skip"), FEW + 100 * 15),
            "depend": (operations.depend([READY[0]], [READY[1], LOGGED[-1]], "cancel"), FEW),
            "lock_workflow": (later("lock_workflow", workflow_id=FLOW), FEW),
            "enqueue_workflow": (
                orchestration.enqueue_workflow(Chain((Call("mail"),) * 20)),
                FEW + 20 * 20,
            ),
        },
        "application",
    ),
    *scenarios(
        {"enqueue_update": (enqueue(dedupe_key=KEYS, on_conflict="update"), FEW + 100 * 40)},
        "application",
        indexes="pgq_job_dedupe_key pgq_job_pkey pgq_job_picked",
    ),
    *scenarios(
        {"withdraw": (operations.withdraw(WAITING), FEW + 100 * 6)},
        "application",
        indexes="pgq_job_pkey pgq_dependency_pkey pgq_dependency_parent",
    ),
    *scenarios(
        {"unrequeue": (later("unrequeue", ids=ENDED, new_ids=WAITING, run_as=ENDED), FEW + 100 * 40)},
        "application",
        indexes="pgq_job_pkey pgq_log_pkey pgq_log_job pgq_dependency_pkey pgq_dependency_parent",
    ),
    *scenarios(
        {
            "cancel": (operations.cancel([*HELD, *WAITING]), FEW + 200 * 30),
            "cancel a workflow": (operations.cancel(FLOWING[:20]), FEW + 20 * 40),
        },
        "application",
        indexes="pgq_job_pkey",
    ),
    *scenarios(
        {"requeue": (administration.requeue_jobs(ENDED), FEW + 100 * 40)},
        "application",
        indexes="pgq_job_pkey pgq_log_pkey pgq_log_job pgq_dependency_pkey pgq_dependency_parent",
    ),
    *scenarios(
        {
            "read_statuses": (administration.job_status([*WAITING, *ENDED]), FEW + 200 * 10),
            "read_outcomes": (administration.read_outcomes([*WAITING, *ENDED]), FEW + 200 * 10),
            "read_parents": (orchestration.read_parents(LOGGED[-1]), FEW),
        },
        "worker",
        "application",
        indexes="pgq_job_pkey pgq_log_job pgq_dependency_pkey",
    ),
    *scenarios(
        {
            "read_workflow": (orchestration.workflow_status(ENDED_FLOW), FEW + 20 * 10),
            "read_workflow_names": (
                later("read_workflow_names", workflow_id=FLOW, names=["step 1", "letter"]),
                FEW,
            ),
            "read_progress": (orchestration.read_progress([FLOW, ENDED_FLOW]), FEW + 40 * 5),
            "read_unfinished": (orchestration.cancel_workflow(FLOW), FEW),
        },
        "application",
        indexes="pgq_job_workflow pgq_log_workflow pgq_dependency_pkey",
    ),
    *scenarios(
        {
            "read_failed": (administration.list_failed_jobs(50), FEW + 50),
            "read_failed, next page": (administration.list_failed_jobs(50, after=100_000), FEW + 50),
        },
        "application",
        indexes="pgq_log_failed",
        is_ordered=True,
    ),
    *scenarios(
        {"read_statistics": (administration.log_statistics(last=timedelta(minutes=5)), FEW + 600)},
        "application",
        indexes="pgq_log_pkey",
    ),
    *scenarios(
        {"read_workers": (administration.active_workers(), FEW + 400)},
        "application",
        indexes="pgq_job_picked",
    ),
    *scenarios(
        {
            "list_schedules": (administration.fetch_schedules(), FEW),
            "pause_schedules": (later("pause_schedules", ids=[1], paused=True), FEW),
            "run_schedules": (later("run_schedules", ids=[1]), FEW),
            "delete_schedules": (later("delete_schedules", ids=[1]), FEW),
            "change_queues": (later("change_queues", names=["queue 1"], **CHANGES), FEW),
            "pause_queues": (queues.pause_queue("queue 1"), FEW),
            "resume_queues": (queues.resume_queue("queue 1"), FEW),
            "delete_queues": (queues.delete_queue("queue 1"), FEW),
        },
        "application",
    ),
    *scenarios(
        {
            "read_sizes": (administration.queue_size(), 0),
            "read_ages": (administration.queue_age(), 0),
            "clear_queue": (administration.clear_queue("taken"), 0),
            # for tests, which have few jobs
            "list_jobs": (operations.list_jobs("letter", 100), 0),
            "hasten": (operations.hasten(ahead=timedelta(days=2), entrypoints=["mail"], queues=QUEUES), 0),
        },
        "application",
        reads_whole="pgq_job",
    ),
    *scenarios(
        {"clear_log": (administration.clear_queue_log("letter"), 0)},
        "application",
        reads_whole="pgq_log",
    ),
]
