"""The command `pgq`: arguments in, calls out."""

import sys


def main() -> None:
    """Runs the command line. What goes wrong ends in one line that says what to do, not in a traceback."""
    try:
        from pgq_orm.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(f"pgq: {error.name} is missing: run `pip install 'pgq-orm[sqlalchemy]'`")
    app()
