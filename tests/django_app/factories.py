"""Factories: rows for tests that do not care how they came about."""

import uuid
from datetime import UTC, datetime
from typing import Any

from pgq_orm_django.models import Log, Schedule, Worker

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_worker(**columns: Any) -> Worker:
    given = {
        "id": uuid.uuid4(),
        "lease_seconds": 30,
        "pid": 1,
        "hostname": "here",
        "queues": [],
        "entrypoints": [],
    }
    return Worker.objects.create(**given | columns)


def a_log(**columns: Any) -> Log:
    given = {
        "job_id": 1,
        "enqueued": NOON,
        "execute_after": NOON,
        "priority": 0,
        "attempt": 1,
        "status": "successful",
        "queue": "default",
        "entrypoint": "mail",
    }
    return Log.objects.create(**given | columns)


def a_schedule(**columns: Any) -> Schedule:
    given = {"entrypoint": "balance", "expression": "0 * * * *", "next_run": NOON}
    return Schedule.objects.create(**given | columns)
