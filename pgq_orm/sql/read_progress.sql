-- How many jobs of each of these workflows have each status; of those that were enqueued again the last counts.
SELECT wanted.id, latest.status, count(*)
FROM (
    SELECT DISTINCT id
    FROM unnest(CAST(:workflow_ids AS uuid[])) AS wanted (id)
) AS wanted
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (COALESCE(name, CAST(id AS text))) status
    FROM (
        SELECT id, name, status
        FROM pgq_job
        WHERE workflow_id = wanted.id
        UNION ALL
        SELECT job_id, name, status
        FROM pgq_log
        WHERE workflow_id = wanted.id
            AND NOT retried
    ) AS found
    ORDER BY COALESCE(name, CAST(id AS text)), id DESC
) AS latest
GROUP BY wanted.id, latest.status;
