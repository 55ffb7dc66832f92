"""Failure: why the demo could not be played to its end."""

from pathlib import Path

TAIL_LINES = 30


class Failure(Exception):
    """Something that the demo needs did not do its part; `log` is where that may have said why."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]) if log else ""
