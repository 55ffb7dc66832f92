-- Takes back jobs that the same transaction has just added.
DELETE FROM pgq_job
WHERE id = ANY (CAST(:ids AS bigint[]));
