"""Listening: how a connection that hears wake-ups finds out that it hears them no longer."""

LISTENS = "SELECT 1 FROM pg_listening_channels()"
"""A sign of life, and a row if the session still is the one that was told to listen."""


def require_listening(channels: int) -> None:
    """Raises ConnectionError for the answer of a session that has not been told to listen."""
    if channels == 0:
        raise ConnectionError(
            "the session that listens is not the one that answers: between them is a pooler in transaction mode, in "
            "which wake-ups are lost; give the worker an address that goes past it (docs/running.md, Poolers)"
        )
