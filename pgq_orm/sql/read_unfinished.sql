-- The jobs of a workflow that are still to be done, in the order in which whoever ends them locks them.
SELECT id
FROM pgq_job
WHERE workflow_id = CAST(:workflow_id AS uuid)
ORDER BY status = 'waiting', id;
