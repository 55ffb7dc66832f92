-- The ids of the jobs of a workflow that have these names, the last of those that were enqueued again for one another.
SELECT DISTINCT ON (name) name, id
FROM (
    SELECT id, name
    FROM pgq_job
    WHERE workflow_id = CAST(:workflow_id AS uuid)
        AND name = ANY (CAST(:names AS text[]))
    UNION ALL
    SELECT job_id, name
    FROM pgq_log
    WHERE workflow_id = CAST(:workflow_id AS uuid)
        AND name = ANY (CAST(:names AS text[]))
) AS found
ORDER BY name, id DESC;
