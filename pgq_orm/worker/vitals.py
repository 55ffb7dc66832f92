"""Vitals: how a worker fares at one moment."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Vitals:
    """What can be told without asking anybody. Those of a worker that does not run are the defaults."""

    worker_id: UUID | None = None
    running: int = 0
    """Attempts that run."""
    slots: int = 0
    """Attempts that may run at a time."""
    heartbeat_age: float | None = None
    """Seconds since the database answered a heartbeat, as it does every third of `heartbeat_timeout`."""
    is_database_reachable: bool = False
    """Whether the last heartbeat was answered."""
    is_picking: bool = False
    """Whether it takes jobs: registered, and neither ending nor cut off."""

    @property
    def is_working(self) -> bool:
        """Whether it takes jobs, as far as it knows."""
        return self.is_picking and self.is_database_reachable
