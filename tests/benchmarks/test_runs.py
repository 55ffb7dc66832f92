"""The benchmarks stay runnable, and count every job. Nothing here claims anything about speed."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import curves
from benchmarks.__main__ import measure
from benchmarks.bench import Bench
from benchmarks.curves import CURVES, Curve, enqueuer_memory, worker_memory
from benchmarks.figures import Figures
from benchmarks.lineup import LINEUP, Side
from benchmarks.measurements import MEASUREMENTS, Measurement
from benchmarks.server import running_server
from benchmarks.sizes import TINY

pytestmark = [pytest.mark.benchmarks, pytest.mark.timeout(180)]

HERE = [contestant for contestant in LINEUP if contestant.side is not Side.peer]
"""The peers would have to be fetched from the package index."""


@pytest.fixture(autouse=True)
def on_the_tests_server(monkeypatch: pytest.MonkeyPatch, server_dsn: str) -> None:
    monkeypatch.setenv("PGQ_DSN", server_dsn)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running_server() as server, closing(Bench(server, TINY, Figures())) as bench:
        yield bench


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda measurement: measurement.name)
def test_a_measurement_runs_and_every_job_is_counted(measurement: Measurement, tmp_path: Path) -> None:
    figures = measure(HERE, [measurement], TINY, tmp_path / "results")
    assert figures.marks == []
    (directory,) = (tmp_path / "results").iterdir()
    written = json.loads((directory / "figures.json").read_text())
    assert written["figures"]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_a_curve_has_points_and_every_job_is_counted(
    curve: Curve, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "JOBS", 400)
    costs = curve.measure(bench, curve.points[1])
    assert costs["time"]
    assert bench.figures.marks == []


def test_memory_is_watched_while_jobs_are_run_and_enqueued(bench: Bench) -> None:
    assert all(megabytes > 0 for _, megabytes in worker_memory(bench, 1_000))
    assert enqueuer_memory(bench, 1_000).keys() == {"in_bulk", "each"}
    assert bench.figures.marks == []
