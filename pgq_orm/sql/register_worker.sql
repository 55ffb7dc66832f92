-- Tells that a worker lives; from now on it may pick.
INSERT INTO pgq_worker (id, lease_seconds, pid, hostname, queues, entrypoints)
VALUES (
    CAST(:worker_id AS uuid),
    CAST(:lease_seconds AS double precision),
    CAST(:pid AS integer),
    CAST(:hostname AS text),
    CAST(:queues AS text[]),
    CAST(:entrypoints AS text[])
)
ON CONFLICT (id) DO UPDATE
SET heartbeat = now();
