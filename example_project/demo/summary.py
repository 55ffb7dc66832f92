"""Summary: the claims and the waiting times, as tables."""

from collections.abc import Iterable
from datetime import timedelta

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from example_project.demo.claims import Claim
from example_project.demo.findings import Findings

WORKERS = {"send_receipt": "Django", "post_entry": "SQLAlchemy"}


def summary(claims: Iterable[Claim], found: Findings) -> RenderableType:
    """What is printed at the end."""
    return Group(_claims_table(claims), Text(), _delays_table(found), Padding(_clocks(found), (0, 0, 0, 2)))


def _claims_table(claims: Iterable[Claim]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column()
    table.add_column("Looked at")
    table.add_column("Found", justify="right")
    table.add_column("Promised")
    for claim in claims:
        mark = Text("✓", "green") if claim.holds else Text("✗", "bold red")
        table.add_row(mark, claim.subject, claim.figure, claim.promise)
        for problem in claim.problems:
            table.add_row("", "", "", Text(problem, "red"))
    return table


def _delays_table(found: Findings) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column()
    table.add_column("From commit" if found.has_commit_times else "From enqueueing")
    for column in ("Jobs", "to start: p50", "p99", "to first write: p50", "p99"):
        table.add_column(column, justify="right")
    for delays in found.delays:
        table.add_row(
            " ",
            f"{delays.entrypoint} ({WORKERS.get(delays.entrypoint, '?')})",
            f"{delays.count:,}",
            _milliseconds(delays.start_p50),
            _milliseconds(delays.start_p99),
            _milliseconds(delays.write_p50),
            _milliseconds(delays.write_p99),
        )
    return table


def _clocks(found: Findings) -> Text:
    commit = (
        "The commit of the order or transfer is PostgreSQL's own record (track_commit_timestamp)"
        if found.has_commit_times
        else "The server keeps no commit times (track_commit_timestamp is off), so the begin of the enqueuing "
        "transaction has to do"
    )
    return Text(
        f"{commit}; the start is pgq_log.started; the first write is the handler's own row. One clock, the database's.",
        "dim",
    )


def _milliseconds(duration: timedelta) -> str:
    return f"{duration / timedelta(milliseconds=1):.1f} ms"
