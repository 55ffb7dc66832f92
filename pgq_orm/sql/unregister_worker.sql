-- Tells that a worker has ended; jobs it still holds are open to rescue at once.
DELETE FROM pgq_worker
WHERE id = CAST(:worker_id AS uuid);
