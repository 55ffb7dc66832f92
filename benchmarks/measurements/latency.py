"""Latency: an idle worker; from the return of an enqueuer's commit to the start of the handler."""

import random
import statistics
import time
from collections.abc import Mapping

from benchmarks.bench import Bench, Stage
from benchmarks.lineup import Contestant

IDLE_SECONDS = 1.0
"""How long the worker is left alone before the first job."""
PAUSE_SECONDS = (0.05, 0.15)
"""Between a handler's start and the next enqueue; random, lest it falls in step with a poll."""


def measure(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """Median and 99th percentile, in milliseconds."""
    jobs = max(3, bench.sizes.latency // (1 if contestant.share == 1 else 4))
    with bench.stage(contestant) as stage:
        stage.process.order("work", jobs=jobs + 1, goal=0, tells_each=True, options={})
        _enqueue_and_wait(stage, 0)
        time.sleep(IDLE_SECONDS)
        seconds = []
        for number in range(1, jobs + 1):
            time.sleep(random.uniform(*PAUSE_SECONDS))
            seconds.append(_enqueue_and_wait(stage, number))
        stage.process.order("stop")
        answer = stage.process.hear("answer")
        bench.check(
            contestant,
            "latency",
            {"jobs that ran": (answer["runs"], jobs + 1), "jobs acknowledged": (stage.done(), jobs + 1)},
        )
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"latency_p50_ms": percentiles[49] * 1000, "latency_p99_ms": percentiles[98] * 1000}


def _enqueue_and_wait(stage: Stage, number: int) -> float:
    stage.fill(1, first=number)
    committed_at = time.monotonic()
    # a handler may start before the enqueuer has heard that its commit is done
    return max(0.0, float(stage.process.hear("started")["at"]) - committed_at)
