-- The jobs of a workflow as they stand, each with its parents: the last of those that were enqueued again for one another.
-- One snapshot for both tables: a job that ends at this moment is found once.
WITH found AS (
    SELECT id, name, entrypoint, queue, status, CAST(NULL AS text) AS error
    FROM pgq_job
    WHERE workflow_id = CAST(:workflow_id AS uuid)
    UNION ALL
    SELECT job_id, name, entrypoint, queue, status, error
    FROM pgq_log
    WHERE workflow_id = CAST(:workflow_id AS uuid)
        AND NOT retried
), latest AS (
    -- what has no name goes by the id that it had first
    SELECT DISTINCT ON (COALESCE(name, CAST(id AS text))) *
    FROM found
    ORDER BY COALESCE(name, CAST(id AS text)), id DESC
)
SELECT
    latest.id,
    latest.name,
    latest.entrypoint,
    latest.queue,
    latest.status,
    latest.error,
    ARRAY (SELECT depends_on FROM pgq_dependency WHERE job_id = latest.id ORDER BY depends_on) AS parent_ids,
    ARRAY (SELECT on_failure FROM pgq_dependency WHERE job_id = latest.id ORDER BY depends_on) AS policies
FROM latest
ORDER BY latest.id;
