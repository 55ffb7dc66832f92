"""Spans: when the handlers of several processes ran, by the database's clock."""

from datetime import datetime

from tests.worker.queues import Queue


def create_spans(queue: Queue) -> None:
    queue.execute(
        "CREATE TABLE span (job_id bigint, key text, pid integer, picked timestamptz, "
        "started timestamptz, ended timestamptz)"
    )


def most_at_a_time(queue: Queue, key: str | None = None) -> int:
    """The most handlers that ever ran at the same time; one whose process was killed ran until now."""
    return queue.scalars(
        """
        SELECT COALESCE(max(running), 0)
        FROM (
            SELECT sum(change) OVER (ORDER BY at, change) AS running
            FROM span
            CROSS JOIN LATERAL (VALUES (started, 1), (COALESCE(ended, clock_timestamp()), -1)) AS edge (at, change)
            WHERE key IS NOT DISTINCT FROM COALESCE(:key, key)
        ) AS edges
        """,
        key=key,
    )[0]


def most_in_a_second(instants: list[datetime]) -> int:
    """The most of them that lie within any second."""
    ordered = sorted(instants)
    return max(sum(0 <= (other - first).total_seconds() < 1 for other in ordered) for first in ordered)
