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
    COALESCE(parents.ids, '{}') AS parent_ids,
    COALESCE(parents.policies, '{}') AS policies
FROM latest
CROSS JOIN LATERAL (
    SELECT
        array_agg(depends_on ORDER BY depends_on) AS ids,
        array_agg(on_failure ORDER BY depends_on) AS policies
    FROM (
        SELECT depends_on, on_failure
        FROM pgq_dependency
        WHERE job_id = latest.id
        -- sorted afterwards: the planner may take another index, which is in that order, for as good
        OFFSET 0
    ) AS edge
) AS parents
ORDER BY latest.id;
