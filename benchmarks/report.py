"""Report: the figures as tables for a terminal."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.figures import Figures
from benchmarks.lineup import BY_KEY, LINEUP
from benchmarks.targets import Bound, Verdict, judge

COLUMNS = {
    "enqueued_singly_per_second": "single\n/s",
    "enqueued_in_bulk_per_second": "bulk\n/s",
    "drained_per_second": "drain\n/s",
    "latency_p50_ms": "p50\nms",
    "latency_p99_ms": "p99\nms",
    "enqueued_singly_wal_bytes": "WAL B\nenqueue",
    "drain_wal_bytes": "WAL B\ndrain",
    "enqueued_singly_client_us": "single\nclient µs",
    "enqueued_singly_server_us": "single\nserver µs",
    "enqueued_in_bulk_client_us": "bulk\nclient µs",
    "enqueued_in_bulk_server_us": "bulk\nserver µs",
    "drain_worker_us": "worker\nµs",
    "drain_server_us": "server\nµs",
    "drain_peak_mb": "peak\nMB",
    "deferred_per_second": "deferred\n/s",
    "backlog_started_per_second": "backlog\n/s",
    "unpinned_per_second": "long\n/s",
    "pinned_per_second": "pinned\n/s",
    "wakeups_on_per_second": "wake-ups\non /s",
    "wakeups_off_per_second": "wake-ups\noff /s",
    "wakeups_on_in_server_per_second": "in server\non /s",
    "wakeups_off_in_server_per_second": "in server\noff /s",
    "idle_statements_per_second": "10 idle\nstmt/s",
    "saturated_statements_per_second": "10 busy\nstmt/s",
}


def show(figures: Figures, console: Console) -> None:
    """Prints what was measured, what that means for the targets, and who is marked."""
    for some in _in_parts(list(COLUMNS), 8):
        table = _figures_table(figures, some)
        if table.row_count:
            console.print(table)
    verdicts = list(judge(figures))
    if verdicts:
        console.print(_targets_table(verdicts))
    for mark in figures.marks:
        console.print(f"MARKED  {mark}", style="bold red", highlight=False)
    if not figures.marks:
        console.print("Every job is accounted for: none lost, none run twice.")


def _figures_table(figures: Figures, metrics: list[str]) -> Table:
    table = Table("medians", highlight=False)
    metrics = [metric for metric in metrics if any(figures.measured(metric))]
    for metric in metrics:
        table.add_column(COLUMNS[metric], justify="right")
    for contestant in LINEUP:
        values = [figures.median(metric, contestant.key) for metric in metrics]
        if any(value is not None for value in values):
            table.add_row(contestant.label, *map(_number, values))
    return table


def _targets_table(verdicts: list[Verdict]) -> Table:
    table = Table("target", "of", "at least", "found", "aim", "found")
    for verdict in verdicts:
        target = verdict.target
        table.add_row(
            target.name,
            BY_KEY[verdict.contestant].label.removeprefix("pgq-orm, "),
            target.at_least.words,
            _found(verdict, target.at_least, verdict.at_least),
            target.aim.words,
            _found(verdict, target.aim, verdict.aim),
        )
    return table


def _found(verdict: Verdict, bound: Bound, ratio: float | None) -> Text:
    if ratio is None:
        return Text("–")
    is_met = verdict.is_met(bound, ratio)
    return Text(f"{ratio:.2f} {'met' if is_met else 'missed'}", style="green" if is_met else "red")


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _in_parts(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
