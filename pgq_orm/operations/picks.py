"""Picks: jobs that are ready, for a worker to run."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from pgq_orm.models import Job
from pgq_orm.operations.jobs import read_jobs
from pgq_orm.operations.operation import Operation, columns, read_names, read_scalar
from pgq_orm.sql import statement


class Stretch(NamedTuple):
    """A part of a queue's order: from one priority down to another, past an id."""

    highest_priority: int
    lowest_priority: int
    after_id: int


PRIORITIES = range(-(2**31), 2**31)
BEFORE_ALL_IDS = -(2**63)
WHOLE_QUEUE = (Stretch(PRIORITIES[-1], PRIORITIES[0], BEFORE_ALL_IDS),)


def pick(
    worker_id: UUID,
    queue: str,
    entrypoints: Sequence[str],
    batch_size: int,
    stretches: Sequence[Stretch] = WHOLE_QUEUE,
) -> Operation[list[Job]]:
    """Picks up to `batch_size` jobs, in the order in which they should start, from these stretches of a queue."""
    highest_priorities, lowest_priorities, after_ids = columns(stretches)
    params = {
        "worker_id": worker_id,
        "queue": queue,
        "entrypoints": entrypoints,
        "batch_size": batch_size,
        "highest_priorities": highest_priorities,
        "lowest_priorities": lowest_priorities,
        "after_ids": after_ids,
    }
    return Operation(statement("pick"), params, read_jobs)


def has_ready(queue: str, entrypoints: Sequence[str]) -> Operation[bool]:
    """Whether a look into the queue would find something, asked without walking over the jobs of others."""
    return Operation(statement("has_ready"), {"queue": queue, "entrypoints": entrypoints}, read_scalar)


def find_ready_queues(queues: Sequence[str]) -> Operation[list[str]]:
    """Which of these queues have jobs that are ready, in the order given."""
    return Operation(statement("find_ready_queues"), {"queues": list(queues)}, read_names)
