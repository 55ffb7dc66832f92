"""Measures what a job costs as the backlog, the history, the queues, the payload or the workers grow, and plots it.

    make bench-scale [ONLY=backlog,history] [HUGE=1] [QUICK=1]

HUGE=1 goes on to ten million rows; QUICK=1 leaves the last point of each curve out.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from rich.console import Console

from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.curves import CURVES, Costs, Curve, enqueuer_memory, worker_memory
from benchmarks.figures import Figures
from benchmarks.plots import save
from benchmarks.results import PAGE_WIDTH, RESULTS
from benchmarks.server import running_server
from benchmarks.sizes import FULL

MEMORY = "memory"
MILLION = 1_000_000
SPENT = {"time": "elapsed", "worker": "worker's CPU", "server": "server's CPU"}


def main() -> None:
    names = [*(curve.name for curve in CURVES), MEMORY]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=", ".join(names))
    parser.add_argument("--huge", action="store_true", help="go on to ten million rows")
    parser.add_argument("--quick", action="store_true", help="leave the last point of each curve out")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(names):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    console = Console() if sys.stdout.isatty() else Console(width=PAGE_WIDTH)
    at = datetime.now().astimezone()
    directory = RESULTS / at.strftime("%Y-%m-%d-%H%M%S-scale")
    directory.mkdir(parents=True)
    figures = Figures()
    found: dict[str, Any] = {"about": {"at": at.isoformat(timespec="minutes"), **machine.facts()}}
    with running_server() as server:
        found["about"]["postgresql"] = server.settings()
        bench = Bench(server, FULL, figures)
        try:
            for curve in CURVES:
                if curve.name in arguments.only:
                    points = curve.points[:-1] if arguments.quick else curve.points
                    points += curve.further_points if arguments.huge else ()
                    found[curve.name] = _follow(curve, points, bench, console)
                    save(_plot(curve, found[curve.name]), directory / curve.name)
            if MEMORY in arguments.only:
                jobs = MILLION // 10 if arguments.quick else MILLION
                samples = worker_memory(bench, jobs)
                found[MEMORY] = {"worker": samples, "enqueuer_peak_mb": enqueuer_memory(bench, jobs)}
                console.print(f"memory: {found[MEMORY]}", highlight=False)
                save(_plot_memory(samples), directory / MEMORY)
        finally:
            bench.close()
    found["marks"] = figures.marks
    for mark in figures.marks:
        console.print(f"MARKED  {mark}", style="bold red", highlight=False)
    (directory / "curves.json").write_text(json.dumps(found, indent=2) + "\n")
    console.print(f"Written to {Path(*directory.parts[-2:])}", highlight=False)


def _follow(curve: Curve, points: tuple[int, ...], bench: Bench, console: Console) -> dict[int, Costs]:
    costs: dict[int, Costs] = {}
    for point in points:
        costs[point] = curve.measure(bench, point)
        told = ", ".join(f"{SPENT[name]} {value:.1f} µs" for name, value in costs[point].items() if value)
        console.print(f"{point:>10,} {curve.grows}: {told} a job", highlight=False)
    return costs


def _plot(curve: Curve, costs: Mapping[int, Costs]) -> Figure:
    figure, axis = pyplot.subplots(figsize=(5, 3))
    for name, title in SPENT.items():
        found = {point: cost[name] for point, cost in costs.items() if cost[name] is not None}
        axis.plot(list(found), list(found.values()), marker="o", label=title)  # type: ignore[arg-type]
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel(curve.grows)
    axis.set_ylabel("µs a job")
    axis.set_ylim(bottom=0)
    return _finished(figure, axis)


def _plot_memory(samples: list[tuple[float, float]]) -> Figure:
    figure, axis = pyplot.subplots(figsize=(5, 3))
    axis.plot(*zip(*samples, strict=True), label="worker's memory")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel("jobs run")
    axis.set_ylabel("MB")
    axis.set_ylim(bottom=0)
    return _finished(figure, axis)


def _finished(figure: Figure, axis: Any) -> Figure:
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    main()
