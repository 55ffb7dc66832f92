"""Plots: the figures as bars, one picture a question, as SVG for pages and PNG for everything else."""

from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.figure import Figure

from benchmarks.figures import Figures
from benchmarks.lineup import LINEUP, Side

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "pgq-orm"
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: small files that can be searched

COLORS = {Side.raw: "#9aa0a6", Side.ours: "#1a73e8", Side.peer: "#f29900"}

PICTURES = {
    "enqueue": {
        "enqueued_singly_per_second": "one job a commit, jobs/s",
        "enqueued_in_bulk_per_second": "bulk, jobs/s",
    },
    "enqueue-cpu": {
        "enqueued_singly_client_us": "one a commit, client µs",
        "enqueued_singly_server_us": "server µs",
        "enqueued_in_bulk_client_us": "bulk, client µs",
        "enqueued_in_bulk_server_us": "server µs",
    },
    "drain": {"drained_per_second": "one worker, no-op jobs, jobs/s"},
    "latency": {"latency_p50_ms": "idle worker, median, ms", "latency_p99_ms": "99th percentile, ms"},
    "wal": {
        "enqueued_singly_wal_bytes": "enqueue, WAL bytes a job",
        "drain_wal_bytes": "run, WAL bytes a job",
    },
    "cpu": {"drain_worker_us": "worker, CPU µs a job", "drain_server_us": "server, CPU µs a job"},
    "memory": {"drain_peak_mb": "worker's peak, MB"},
    "burdened": {
        "drained_per_second": "empty table, jobs/s",
        "deferred_per_second": "among deferred jobs, jobs/s",
        "backlog_started_per_second": "large backlog, jobs/s",
        "unpinned_per_second": "long drain, jobs/s",
        "pinned_per_second": "the same, snapshot pinned, jobs/s",
    },
}


def draw(figures: Figures, directory: Path) -> None:
    """Writes a picture for each question that was measured."""
    for name, metrics in PICTURES.items():
        measured = {metric: title for metric, title in metrics.items() if any(figures.measured(metric))}
        if measured:
            save(_bars(figures, measured), directory / name)


def save(figure: Figure, path: Path) -> None:
    """As SVG and as PNG."""
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)


def _bars(figures: Figures, metrics: dict[str, str]) -> Figure:
    rows = [
        contestant
        for contestant in reversed(LINEUP)
        if any(figures.median(metric, contestant.key) is not None for metric in metrics)
    ]
    figure, axes = pyplot.subplots(
        1, len(metrics), figsize=(3 + 2.6 * len(metrics), 0.6 + 0.28 * len(rows)), sharey=True, squeeze=False
    )
    for axis, (metric, title) in zip(axes[0], metrics.items(), strict=True):
        values = [figures.median(metric, contestant.key) or 0.0 for contestant in rows]
        colors = [COLORS[contestant.side] for contestant in rows]
        bars = axis.barh([contestant.label for contestant in rows], values, color=colors)
        axis.bar_label(bars, [_label(value) for value in values], fontsize=7, padding=2)
        axis.set_title(title, fontsize=9)
        axis.margins(x=0.25)
        axis.tick_params(labelsize=8)
        axis.set_xticks([])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.tight_layout()
    return figure


def _label(value: float) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
