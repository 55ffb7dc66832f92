"""Leases: which jobs this worker holds, from the pick's reply until its outcome is written."""

from collections.abc import Callable, Collection, Iterable

from pgq_orm.models import Job
from pgq_orm.operations.endings import Ended
from pgq_orm.operations.workers import Lease


class Leases:
    """The held leases by job id. Changed by the loop's thread only; the heartbeat's thread takes snapshots."""

    def __init__(self, *, on_dropped: Callable[[Collection[int]], None]) -> None:
        self._leases: dict[int, int] = {}
        self._on_dropped = on_dropped

    def hold(self, jobs: Iterable[Job]) -> None:
        """Notes picked jobs."""
        self._leases.update((job.id, job.lease) for job in jobs)

    def drop(self, leases: Iterable[Lease | Ended]) -> None:
        """Forgets those under which an outcome is written, and those that are lost.

        Not the jobs: one whose lease is lost may have been picked here again by now, under another.
        """
        dropped = [job_id for job_id, lease, *_ in leases if self._leases.get(job_id) == lease]
        for job_id in dropped:
            del self._leases[job_id]
        self._on_dropped(dropped)

    def snapshot(self) -> list[Lease]:
        """What is held now. Safe from any thread: copying a dict is one step."""
        return [Lease(job_id, lease) for job_id, lease in self._leases.copy().items()]

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether this very lease is held."""
        return self._leases.get(job_id) == lease

    def __len__(self) -> int:
        return len(self._leases)
