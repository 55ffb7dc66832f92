"""Random workflows, worked on by several at a time: all of it ends as a model says, in order, each job once.

Nobody retries here: a deadlock between two who end jobs of the same workflow would fail the test.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from pgq_orm import operations
from pgq_orm.operations import Operation
from pgq_orm.operations.endings import Outcome
from pgq_orm.orchestration import WorkflowHandle
from pgq_orm.sqlalchemy import SyncQueries
from pgq_orm.statuses import OnFailure
from pgq_orm.store import BOOKKEEPING_SETTINGS
from pgq_orm.workflows import Workflow
from tests.conformance.tables import Tables
from tests.databases import sqlalchemy_url

T = TypeVar("T")

POLICIES: list[OnFailure] = ["cancel", "ignore", "wait"]
WORKERS = 4


@dataclass
class Graph:
    """A random graph: of each job its parents with the policies, and whether it will succeed."""

    parents: list[dict[int, OnFailure]]
    fates: list[str]

    @classmethod
    def draw(cls, seed: int, size: int) -> "Graph":
        chance = random.Random(seed)
        density = chance.choice([1, 2, 4, 12])
        mixtures: list[list[OnFailure]] = [POLICIES, ["cancel"], ["cancel", "ignore"], ["ignore", "wait"]]
        policies = chance.choice(mixtures)
        parents: list[dict[int, OnFailure]] = [
            {
                chance.randrange(job): chance.choice(policies)
                for _ in range(chance.randint(0, min(job, density)))
            }
            for job in range(size)
        ]
        failures = chance.choice([0.0, 0.1, 0.4])
        return cls(
            parents, ["exception" if chance.random() < failures else "successful" for _ in range(size)]
        )

    def workflow(self) -> Workflow:
        flow = Workflow()
        members: list[Any] = []
        for edges in self.parents:
            members.append(
                flow.add("job", depends_on={members[job]: policy for job, policy in edges.items()})
            )
        return flow

    def expected(self) -> list[str]:
        """How each job stands when nothing can run any more."""
        stands: list[str] = []
        for edges, fate in zip(self.parents, self.fates, strict=True):
            failed = {policy for job, policy in edges.items() if stands[job] in ("exception", "canceled")}
            if "cancel" in failed:
                stands.append("canceled")
            elif "wait" in failed or any(stands[job] == "waiting" for job in edges):
                stands.append("waiting")
            else:
                stands.append(fate)
        return stands


@dataclass
class Site:
    """Where the workers meet: what they know of the jobs, by id."""

    dsn: str
    parents: dict[int, set[int]] = field(default_factory=dict)
    """Those that must have run before."""
    fates: dict[int, str] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    runs: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_broken: bool = False

    def add(self, graph: Graph, handle: WorkflowHandle) -> None:
        runs = [status in ("successful", "exception") for status in graph.expected()]
        for edges, fate, job_id in zip(graph.parents, graph.fates, handle.job_ids, strict=True):
            self.parents[job_id] = {handle.job_ids[parent] for parent in edges if runs[parent]}
            self.fates[job_id] = fate

    def work(self, worker_id: Any, seed: int, is_all_done: Callable[[], bool]) -> None:
        """Picks and ends jobs, in batches of any size, until all is done."""
        try:
            self._work(worker_id, random.Random(seed), is_all_done)
        except BaseException:
            self.is_broken = True
            raise

    def _work(self, worker_id: Any, chance: random.Random, is_all_done: Callable[[], bool]) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for name, value in BOOKKEEPING_SETTINGS.items():
                connection.execute("SELECT set_config(%s, %s, false)", [name, value])
            while not self.is_broken:
                jobs = carry_out(
                    connection, operations.pick(worker_id, "default", ["job"], chance.randint(1, 9))
                )
                with self.lock:
                    for job in jobs:
                        self.runs[job.id] += 1
                        assert self.parents.get(job.id, set()) <= self.ended
                    # before they are: others may run what waits for them in the same moment
                    self.ended.update(job.id for job in jobs)
                if not jobs and is_all_done():
                    return
                chance.shuffle(jobs)
                if jobs:
                    ending = [
                        Outcome(job.id, job.lease, self.fates.get(job.id, "successful"), 0, 0) for job in jobs
                    ]
                    assert carry_out(connection, operations.finish(ending)) == {job.id for job in jobs}


def carry_out(connection: psycopg.Connection, operation: Operation[T]) -> T:
    cursor = connection.execute(operation.statement.pyformat.encode(), operation.params)
    return operation.read(cursor.fetchall() if cursor.description else ())


@pytest.fixture
def engine(dsn: str) -> Iterator[Engine]:
    engine = create_engine(sqlalchemy_url(dsn))
    yield engine
    engine.dispose()


def ask(engine: Engine, method: str, *arguments: Any) -> Any:
    with Session(engine) as session, session.begin():
        return getattr(SyncQueries(session), method)(*arguments)


def work_it_off(site: Site, tables: Tables, seed: int, beside: Callable[[], object] = lambda: None) -> None:
    """Lets several workers do all that can be done, and something else beside."""
    worker_id = tables.add_worker(lease_seconds=600, entrypoints=["job"])

    def is_all_done() -> bool:
        with psycopg.connect(site.dsn, autocommit=True) as connection:
            row: Any = connection.execute(
                "SELECT NOT EXISTS (SELECT FROM pgq_job WHERE status <> 'waiting')"
            ).fetchone()
        return bool(row[0])

    with ThreadPoolExecutor(WORKERS + 1) as threads:
        working: list[Future[object]] = [
            threads.submit(site.work, worker_id, seed * WORKERS + number, is_all_done)
            for number in range(WORKERS)
        ]
        working.append(threads.submit(beside))
        for work in working:
            work.result(timeout=60)


@pytest.mark.parametrize("seed", range(12))
def test_everything_ends_as_the_model_says(dsn: str, tables: Tables, engine: Engine, seed: int) -> None:
    graphs = [Graph.draw(seed * 10 + number, size=60) for number in range(3)]
    handles = [ask(engine, "enqueue_workflow", graph.workflow()) for graph in graphs]
    site = Site(dsn)
    for graph, handle in zip(graphs, handles, strict=True):
        site.add(graph, handle)
    work_it_off(site, tables, seed)
    statuses = tables.statuses()
    for graph, handle in zip(graphs, handles, strict=True):
        assert [statuses[job_id] for job_id in handle.job_ids] == graph.expected()
    assert set(site.runs.values()) == {1}

    # and once everything is mended, a retry brings each of them to its end
    site.fates.clear()
    kept = {log.job_id for log in tables.logs() if log.status == "successful"}
    for handle in handles:
        ask(engine, "retry_workflow", handle.id)
    site.parents.clear()
    work_it_off(site, tables, seed)
    assert tables.jobs() == []
    assert set(site.runs.values()) == {1}
    for graph, handle in zip(graphs, handles, strict=True):
        status = ask(engine, "workflow_status", handle.id)
        assert (status.state, len(status.jobs)) == ("successful", len(graph.fates))
        assert kept & set(handle.job_ids) <= {job.id for job in status.jobs}


@pytest.mark.parametrize("seed", range(6))
def test_cancelling_and_adding_beside_the_workers_leaves_nothing_behind(
    dsn: str, tables: Tables, engine: Engine, seed: int
) -> None:
    chance = random.Random(seed)
    graph = Graph.draw(seed + 1000, size=150)
    handle = ask(engine, "enqueue_workflow", graph.workflow())
    site = Site(dsn)
    site.add(graph, handle)

    def meddle() -> None:
        for _ in range(25):
            ids = chance.sample(handle.job_ids, 10)
            if chance.random() < 0.5:
                ask(engine, "mark_job_as_cancelled", ids)
            else:
                more = Workflow(handle.id)
                more.add("job", depends_on=dict.fromkeys(ids, chance.choice(POLICIES)))
                ask(engine, "enqueue_workflow", more)

    # what was cancelled never ran, so what follows it may be picked while it is not known to have ended
    site.parents.clear()
    work_it_off(site, tables, seed, meddle)
    work_it_off(site, tables, seed)
    assert {job.status for job in tables.jobs()} <= {"waiting"}
    for job in tables.jobs():
        assert job.waits_for == tables.ask(
            """
            SELECT count(*)
            FROM pgq_dependency
            WHERE job_id = %s
                AND (
                    EXISTS (SELECT FROM pgq_job WHERE id = depends_on)
                    OR on_failure = 'wait'
                    AND NOT EXISTS (SELECT FROM pgq_log WHERE job_id = depends_on AND status = 'successful')
                )
            """,
            job.id,
        )
        assert job.waits_for > 0
    ask(engine, "cancel_workflow", handle.id)
    assert tables.jobs() == []


def test_parents_that_end_at_the_same_time_release_their_child_once(
    dsn: str, tables: Tables, engine: Engine
) -> None:
    for _ in range(20):
        flow = Workflow()
        parents = [flow.add("job") for _ in range(WORKERS)]
        flow.add("child", depends_on=parents)
        handle = ask(engine, "enqueue_workflow", flow)
        tables.execute("UPDATE pgq_job SET status = 'picked', lease = 1 WHERE status = 'queued'")
        together = threading.Barrier(WORKERS)

        def finish(job_id: int, together: threading.Barrier = together) -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                together.wait(timeout=30)
                carry_out(connection, operations.finish([Outcome(job_id, 1, "successful", 0, 0)]))

        with ThreadPoolExecutor(WORKERS) as threads:
            for ended in [threads.submit(partial(finish, handle.job_ids[n])) for n in range(WORKERS)]:
                ended.result(timeout=30)
        child = tables.job(handle["child"])
        assert (child.status, child.waits_for) == ("queued", 0)
        tables.empty()
