"""Options: what `pgq run` can be told."""

from typing import Any

from typer.main import get_command

from pgq_orm.cli.app import app

ALONE = {"--mode", "--log-level"}
"""What `pgq run` has and Django does otherwise: by --drain and --verbosity."""


def pgq_options() -> dict[str, Any]:
    """The options of `pgq run`, by their first names."""
    command: Any = get_command(app)
    return {
        option.opts[0]: option for option in command.commands["run"].params if option.opts[0] != "factory"
    }
