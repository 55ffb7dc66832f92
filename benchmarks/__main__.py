"""Measures pgq-orm, its peers and raw SQL side by side, in one run.

    make bench [QUICK=1] [ONLY=drain,latency] [CONTESTANTS=sqlalchemy-asyncpg,pgqueuer] [ROUNDS=3]

Starts a PostgreSQL of its own with fsync on, or uses PGQ_DSN's server, where it creates databases named bench_….
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path

import psycopg
from rich.console import Console

from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.environments import EnvironmentFailed, interpreter
from benchmarks.figures import Figures
from benchmarks.lineup import BY_KEY, LINEUP, Contestant
from benchmarks.measurements import MEASUREMENTS, NAMES, Measurement
from benchmarks.plots import draw
from benchmarks.process import ContestantFailed
from benchmarks.report import show
from benchmarks.results import PAGE_WIDTH, RESULTS
from benchmarks.server import running_server
from benchmarks.sizes import FULL, QUICK, TINY, Sizes
from benchmarks.targets import judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_const", dest="sizes", const=QUICK, default=FULL)
    parser.add_argument(
        "--tiny", action="store_const", dest="sizes", const=TINY, help="only see that it runs"
    )
    parser.add_argument("--only", type=_names_among(NAMES), default=NAMES, help=", ".join(NAMES))
    parser.add_argument(
        "--contestants", type=_names_among(BY_KEY), default=tuple(BY_KEY), help=", ".join(BY_KEY)
    )
    parser.add_argument("--without", type=_names_among(BY_KEY), default=())
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    sizes: Sizes = arguments.sizes
    if arguments.rounds:
        sizes = dataclasses.replace(sizes, rounds=arguments.rounds)
    wanted = set(arguments.contestants) - set(arguments.without)
    contestants = [contestant for contestant in LINEUP if contestant.key in wanted]
    try:
        for contestant in contestants:
            interpreter(contestant)
    except EnvironmentFailed as failure:
        sys.exit(str(failure))
    measurements = [measurement for measurement in MEASUREMENTS if measurement.name in arguments.only]
    measure(contestants, measurements, sizes, arguments.results)


def measure(
    contestants: Sequence[Contestant], measurements: Sequence[Measurement], sizes: Sizes, results: Path
) -> Figures:
    """Rounds of everything, contestants interleaved; prints, writes and draws what they come to."""
    console = Console() if sys.stdout.isatty() else Console(width=PAGE_WIDTH)
    started = time.monotonic()
    at = datetime.now().astimezone()
    figures = Figures()
    about = {"at": at.isoformat(timespec="minutes"), "sizes": dataclasses.asdict(sizes), **machine.facts()}
    with running_server() as server:
        bench = Bench(server, sizes, figures)
        try:
            for number in range(sizes.rounds):
                for measurement in measurements:
                    if number < measurement.most_rounds:
                        _go_round(bench, measurement, contestants, number, console)
        except KeyboardInterrupt:
            console.print("Interrupted: this is what there is so far.")
        finally:
            bench.close()
        about["postgresql"] = server.settings()
    about["libraries"] = bench.versions
    about["minutes"] = round((time.monotonic() - started) / 60, 1)
    show(figures, console)
    console.print(
        f"PostgreSQL {about['postgresql']['server_version']}, Python {about['python']}, {about['cores']} cores, "
        f"{sizes.rounds} rounds in {about['minutes']} minutes",
        highlight=False,
    )
    directory = results / at.strftime("%Y-%m-%d-%H%M%S")
    write(directory, about, figures)
    draw(figures, directory)
    console.print(f"Written to {directory.relative_to(results.parent)}", highlight=False)
    return figures


def write(directory: Path, about: dict[str, object], figures: Figures) -> None:
    """Everything as JSON, and the tables as text."""
    directory.mkdir(parents=True)
    verdicts = [
        {
            "target": verdict.target.name,
            "of": verdict.contestant,
            "at_least": verdict.target.at_least.words,
            "at_least_found": verdict.at_least,
            "aim": verdict.target.aim.words,
            "aim_found": verdict.aim,
        }
        for verdict in judge(figures)
    ]
    content = {"about": about, "figures": figures.as_json(), "targets": verdicts, "marks": figures.marks}
    (directory / "figures.json").write_text(json.dumps(content, indent=2) + "\n")
    with (directory / "tables.txt").open("w") as file:
        show(figures, Console(file=file, width=PAGE_WIDTH))


def _go_round(
    bench: Bench, measurement: Measurement, contestants: Sequence[Contestant], number: int, console: Console
) -> None:
    takers = [contestant for contestant in measurement.contestants if contestant in contestants]
    start = number % len(takers) if takers else 0
    for contestant in takers[start:] + takers[:start]:
        console.print(
            f"round {number + 1}, {measurement.name}: {contestant.label}", style="dim", highlight=False
        )
        try:
            bench.figures.add(contestant.key, measurement.measure(bench, contestant))
        except (ContestantFailed, psycopg.Error) as failure:
            # the others' figures are worth having
            bench.figures.mark(contestant.key, measurement.name, f"failed: {failure}")


def _names_among(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        given = tuple(text.split(","))
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
        return given

    return names


if __name__ == "__main__":
    main()
