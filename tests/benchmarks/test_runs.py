"""The benchmarks stay runnable, and count every job. Nothing here claims anything about speed."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import measure
from benchmarks.lineup import LINEUP, Side
from benchmarks.measurements import MEASUREMENTS
from benchmarks.sizes import TINY

pytestmark = [pytest.mark.benchmarks, pytest.mark.timeout(180)]

HERE = [contestant for contestant in LINEUP if contestant.side is not Side.peer]
"""The peers would have to be fetched from the package index."""


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda measurement: measurement.name)
def test_a_measurement_runs_and_every_job_is_counted(
    measurement, server_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PGQ_DSN", server_dsn)
    figures = measure(HERE, [measurement], TINY, tmp_path / "results")
    assert figures.marks == []
    (directory,) = (tmp_path / "results").iterdir()
    written = json.loads((directory / "figures.json").read_text())
    assert written["figures"]
