"""Parents: the jobs that a job depends on, and what came of them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgq_orm.errors import JobFailedError, UnknownParentError
from pgq_orm.statuses import JobStatus, LogStatus


@dataclass(frozen=True, slots=True)
class Parent:
    """A job that another one depends on, as it was when it was looked at."""

    job_id: int
    name: str | None
    """What it is called in the workflow; None if it was enqueued without a name."""
    entrypoint: str
    status: JobStatus | LogStatus
    error: str | None
    """What its handler raised, in one line."""
    result_json: str | None

    @property
    def is_successful(self) -> bool:
        """Whether it has a result. One that failed is seen by a job that ignores its failure."""
        return self.status == LogStatus.SUCCESSFUL

    @property
    def result(self) -> Any:
        """What its handler returned, None if that was nothing or no JSON. Raises JobFailedError if it failed."""
        if not self.is_successful:
            raise JobFailedError(self.job_id, self.status, self.error)
        return None if self.result_json is None else json.loads(self.result_json)


class Parents(Mapping[int | str, Parent]):
    """A job's parents, by the name that each has in the workflow or by its id; in the order in which they were added.

    Goes by the names, and by the ids of those that have none.
    """

    def __init__(self, parents: Iterable[Parent] = ()) -> None:
        self._parents = {parent.job_id if parent.name is None else parent.name: parent for parent in parents}
        self._by_id = {parent.job_id: parent for parent in self._parents.values()}

    def results(self) -> dict[int | str, Any]:
        """What the handlers of those returned that succeeded, as a dict and no list: by the name that each has in the
        workflow (its entrypoint, with -2, -3, … for the further ones), or by its id if it has none. Its `.values()`
        are in the order in which they were added.
        """
        return {key: parent.result for key, parent in self._parents.items() if parent.is_successful}

    def __getitem__(self, key: int | str) -> Parent:
        found = self._by_id.get(key) if isinstance(key, int) else self._parents.get(key)
        if found is None:
            raise UnknownParentError(key, map(str, self._parents))
        return found

    def __iter__(self) -> Iterator[int | str]:
        return iter(self._parents)

    def __len__(self) -> int:
        return len(self._parents)

    def __repr__(self) -> str:
        states = ", ".join(f"{key!r}: {parent.status}" for key, parent in self._parents.items())
        return f"Parents({{{states}}})"
