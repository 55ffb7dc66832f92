"""Enqueueing: one job a transaction, and many jobs as fast as it can be done, each on one connection."""

from collections.abc import Mapping

from benchmarks.bench import Bench
from benchmarks.contestants.conversation import WARM_UP
from benchmarks.lineup import Contestant


def measure(bench: Bench, contestant: Contestant) -> Mapping[str, float | None]:
    """Jobs a second, WAL and CPU time for each job."""
    figures: dict[str, float | None] = {}
    for how, jobs in (("singly", bench.sizes.single), ("in_bulk", contestant.jobs(bench.sizes.bulk))):
        with bench.stage(contestant) as stage:
            wal, cpu = bench.server.wal_bytes(), bench.server.cpu_seconds()
            answer = stage.process.ask("enqueue", jobs=jobs + WARM_UP, how=how)
            cpu_after = bench.server.cpu_seconds()
            bench.check(contestant, "enqueue", {f"jobs enqueued {how}": (stage.left(), jobs + WARM_UP)})
            figures |= {
                f"enqueued_{how}_per_second": jobs / answer["seconds"],
                f"enqueued_{how}_wal_bytes": (bench.server.wal_bytes() - wal) / (jobs + WARM_UP),
                f"enqueued_{how}_client_us": answer["cpu_seconds"] / jobs * 1e6,
                f"enqueued_{how}_server_us": (
                    None if cpu is None or cpu_after is None else (cpu_after - cpu) / (jobs + WARM_UP) * 1e6
                ),
            }
    return figures
