"""Backlog: 200,000 jobs that are still to be done and 200,000 log rows, of every kind that there is."""

from uuid import UUID

import psycopg

from pgq_orm.operations.workers import Lease

BIG_TABLES = ("pgq_job", "pgq_log", "pgq_dependency")
"""Those that grow: with the backlog, with the history, with workflows. The others have a few rows each."""

LIVING, DEAD, UNKNOWN = UUID(int=1), UUID(int=2), UUID(int=3)
"""Two workers that have a row, of which one has not been heard of for an hour, and one that has none."""
QUEUES = ["default", "elsewhere"]

HELD = range(1, 101)
"""The ids of jobs that LIVING runs. DEAD ran the hundred that follow."""
LEASES = [Lease(job_id, 1) for job_id in HELD]
READY = range(201, 100_001)
"""Of the entrypoint 'mail' in the queue 'default', with priorities from 0 to 9."""
DEFERRED = range(100_001, 140_001)
"""Every two hundredth is due."""
ELSEWHERE = range(140_001, 160_001)
"""Ready, in another queue."""
LIMITED = range(160_001, 179_501)
"""Of the entrypoint 'limited'. A hundred of them run."""
TAKEN = range(179_501, 180_001)
"""Of the entrypoint 'taken', all of one key. The first of them runs."""
KEYED = range(180_001, 198_001)
"""Of the entrypoint 'keyed': many of one key, of which the first runs, and 2000 of a key each."""
FLOWING = range(198_001, 200_001)
"""In workflows of twenty, each a chain whose first job LIVING runs."""
LOGGED = range(300_001, 400_001)
"""Jobs that have ended, on their second attempt, every fourth as a failure. The last 2000 were workflows of twenty."""


def workflow_id(job_id: int) -> UUID:
    """The workflow of a job that is in one."""
    return UUID(int=(job_id - 1) // 20)


_RUNNING = {"status": "'picked'", "lease": "1", "updated": "now() - interval '1 second'"}
_RUN_BY_LIVING = {**_RUNNING, "worker_id": f"'{LIVING}'"}
_FLOW = {
    "workflow_id": "CAST(lpad(to_hex((id - 1) / 20), 32, '0') AS uuid)",
    "name": "'step ' || id % 20",
}
_JOBS = [
    (HELD, _RUN_BY_LIVING),
    (range(HELD.stop, READY.start), {**_RUNNING, "worker_id": f"'{DEAD}'"}),
    (READY, {"priority": "id % 10", "dedupe_key": "'key-' || id"}),
    (
        DEFERRED,
        {
            "execute_after": "now() + CASE WHEN id % 200 = 0 THEN interval '0' ELSE interval '1 day' END",
            "updated": "now() - interval '1 hour'",
            "dedupe_key": "'key-' || id",
        },
    ),
    (ELSEWHERE, {"queue": "'elsewhere'"}),
    # of a lower priority: whoever picks other jobs passes the limited ones by, up to the next floor
    (LIMITED[:100], {"entrypoint": "'limited'", "priority": "-1", **_RUN_BY_LIVING}),
    (LIMITED[100:], {"entrypoint": "'limited'", "priority": "-1"}),
    (TAKEN[:1], {"entrypoint": "'taken'", "concurrency_key": "'taken'", "priority": "-2", **_RUN_BY_LIVING}),
    (TAKEN[1:], {"entrypoint": "'taken'", "concurrency_key": "'taken'", "priority": "-2"}),
    (KEYED[:1], {"entrypoint": "'keyed'", "concurrency_key": "'run'", "priority": "-3", **_RUN_BY_LIVING}),
    (KEYED[1:-2000], {"entrypoint": "'keyed'", "concurrency_key": "'run'", "priority": "-3"}),
    (KEYED[-2000:], {"entrypoint": "'keyed'", "concurrency_key": "'key-' || id", "priority": "-4"}),
    (FLOWING[::20], {**_FLOW, **_RUN_BY_LIVING}),
    *((FLOWING[place::20], {**_FLOW, "status": "'waiting'", "waits_for": "1"}) for place in range(1, 20)),
]

_HISTORY = f"""
INSERT INTO pgq_log (
    job_id, created, enqueued, execute_after, priority, attempt, retried, status, queue, entrypoint, payload,
    workflow_id, name
)
SELECT
    id,
    now() - make_interval(secs => {LOGGED[-1]} - id),
    now(),
    now(),
    0,
    attempt,
    attempt = 1,
    CASE WHEN attempt = 1 OR id % 4 = 0 THEN 'exception' ELSE 'successful' END,
    'default',
    'mail',
    'x',
    CASE WHEN id > {LOGGED[-2000]} THEN {_FLOW["workflow_id"]} END,
    CASE WHEN id > {LOGGED[-2000]} THEN {_FLOW["name"]} END
FROM generate_series({LOGGED[0]}, {LOGGED[-1]}) AS number (id)
CROSS JOIN generate_series(1, 2) AS attempt;

-- The jobs are already what these edges make of them. Not ALTER TABLE, after which kept plans are made anew.
SET session_replication_role = replica;
INSERT INTO pgq_dependency (job_id, depends_on)
SELECT id, id - 1
FROM (
    SELECT generate_series({FLOWING[0]}, {FLOWING[-1]})
    UNION ALL
    SELECT generate_series({LOGGED[0]}, {LOGGED[-1]})
) AS number (id)
WHERE id % 20 <> 1;
RESET session_replication_role;
"""

_FEW = f"""
INSERT INTO pgq_worker (id, heartbeat, lease_seconds, pid, hostname, queues, entrypoints)
VALUES
    ('{LIVING}', now(), 1800, 1, 'here', '{{default}}', '{{mail}}'),
    ('{DEAD}', now() - interval '1 hour', 30, 2, 'there', '{{default}}', '{{mail}}');

INSERT INTO pgq_schedule (id, entrypoint, expression, next_run)
SELECT id, 'schedule ' || id, '@daily', '2026-01-01T00:00Z'
FROM generate_series(1, 100) AS number (id);

INSERT INTO pgq_queue (name, paused)
SELECT 'queue ' || number, true
FROM generate_series(1, 100) AS number;
"""

_OTHER_TIMES = """
INSERT INTO pgq_job (entrypoint, queue, status, worker_id)
SELECT 'forgotten', 'forgotten', 'picked', gen_random_uuid()
FROM generate_series(1, 1000);

INSERT INTO pgq_log (job_id, enqueued, execute_after, priority, attempt, status, queue, entrypoint)
SELECT number, now(), now(), 0, 1, 'exception', 'forgotten', 'forgotten'
FROM generate_series(1, 1000) AS number;
"""


def load(connection: psycopg.Connection) -> None:
    """Fills the tables."""
    for ids, columns in _JOBS:
        values = {"id": "id", "entrypoint": "'mail'", **columns}
        connection.execute(
            f"INSERT INTO pgq_job ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM generate_series({ids[0]}, {ids[-1]}, {ids.step}) AS number (id)".encode()
        )
    connection.execute("SELECT setval(pg_get_serial_sequence('pgq_job', 'id'), 1000000)")
    connection.execute((_HISTORY + _FEW).encode())


def mislead(connection: psycopg.Connection) -> None:
    """Has the planner know a thousand rows of another kind, all jobs picked and all attempts failed, that go again."""
    connection.execute(_OTHER_TIMES.encode())
    connection.execute("ANALYZE")
    connection.execute("DELETE FROM pgq_job")
    connection.execute("DELETE FROM pgq_log")
