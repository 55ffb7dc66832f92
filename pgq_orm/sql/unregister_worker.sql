-- Tells that a worker has ended; jobs it still holds are open to rescue at once. Wakes the others: of the retries
-- that it was waiting for, only it knew when they are due.
WITH gone AS (
    DELETE FROM pgq_worker
    WHERE id = CAST(:worker_id AS uuid)
    RETURNING id
)
SELECT pg_notify('pgq', '')
FROM gone;
