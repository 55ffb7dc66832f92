"""Idling: ten workers with nothing to do, and ten whose slots are all taken; what they ask of the server meanwhile."""

import time
from collections.abc import Mapping
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.lineup import Contestant

WORKERS = 10
SLOTS = 20
FOR_EVER_SECONDS = 3600


def measure(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """Transactions a second, of all ten in all. A worker's statement commits by itself, so each is one."""
    jobs = 2 * WORKERS * SLOTS
    with ExitStack() as stack:
        databases = []
        for situation, backlog in (("idle", 0), ("busy", jobs)):
            stage = stack.enter_context(bench.stage(contestant, situation))
            databases.append(stage.database)
            if backlog:
                stage.fill(backlog)
            workers = [stage.process, *(stack.enter_context(stage.another()) for _ in range(WORKERS - 1))]
            for worker in workers:
                worker.order(
                    "work",
                    jobs=jobs,
                    goal=SLOTS,
                    tells_each=False,
                    options={"hold_seconds": FOR_EVER_SECONDS, "slots": SLOTS, "batch_size": SLOTS // 2},
                )
        for worker in workers:
            worker.hear("goal")
        time.sleep(bench.sizes.settling_seconds)
        before = [bench.server.transactions(database) for database in databases]
        time.sleep(bench.sizes.idle_seconds)
        after = [bench.server.transactions(database) for database in databases]
    idle, busy = (
        (count - earlier) / bench.sizes.idle_seconds for count, earlier in zip(after, before, strict=True)
    )
    return {"idle_statements_per_second": idle, "saturated_statements_per_second": busy}
