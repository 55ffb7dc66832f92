"""Tables: sheets on a terminal, or as JSON for programs."""

import sys
from typing import Annotated, TypeAlias

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from pgq_orm.sheets import Sheet

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

WIDTH_OF_A_PIPE = 200
"""Columns where nobody has a terminal to tell."""


def show(sheet: Sheet, as_json: bool = False) -> None:
    """Prints a sheet."""
    if as_json:
        typer.echo(sheet.as_json())
    else:
        console().print(table(sheet))


def group(*sheets: Sheet) -> Group:
    """Several, one below the other."""
    return Group(*(part for sheet in sheets for part in (table(sheet), Text())))


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough for a pipe."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)


def table(sheet: Sheet) -> Table | Text:
    """A sheet as rich draws it."""
    if not sheet.rows:
        return Text(sheet.when_empty)
    drawn = Table(title=Text(sheet.title, "bold"), title_justify="left", header_style="bold")
    for column in sheet.columns:
        drawn.add_column(column.heading, justify="right" if column.is_number else "left", overflow="fold")
    for cells in sheet.cells():
        drawn.add_row(*map(Text, cells))  # Text, because a handler's error may look like markup
    return drawn
