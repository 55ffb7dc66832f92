"""Ears: what an idle worker hears."""

import psycopg

from pgq_orm.store import CHANNEL


class Ears:
    """A connection that hears nothing until it listens, and remembers what came then."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._payloads: list[str] = []
        connection.add_notify_handler(lambda notice: self._payloads.append(notice.payload))

    def listen(self) -> None:
        """Hears what comes from now on, also if another wake-up has just been sent."""
        self._connection.execute(b"SELECT setval('pgq_wake_seq', 1)")
        self._connection.execute(f"LISTEN {CHANNEL}".encode())

    def heard(self) -> list[str]:
        """The payloads of the notices that have come; one that has just been sent may take a moment."""
        self._connection.execute("SELECT 1")  # what came is read along with an answer
        return self._payloads
