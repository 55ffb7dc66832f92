-- Which of these jobs cannot be ended at the moment, because an open transaction holds them, or a job that waits for them.
-- Waits for nobody.
WITH needed AS (
    SELECT id, id AS locked_id
    FROM unnest(CAST(:ids AS bigint[])) AS wanted (id)
    UNION ALL
    SELECT depends_on, job_id
    FROM pgq_children(CAST(:ids AS bigint[]))
), free AS (
    SELECT id
    FROM pgq_job
    WHERE id = ANY (ARRAY (SELECT locked_id FROM needed))
    -- the lock of a DELETE, which is what ends a job
    FOR UPDATE SKIP LOCKED
)
SELECT DISTINCT needed.id
FROM needed
WHERE (SELECT true FROM pgq_job WHERE id = needed.locked_id)
    -- not a join: the planner may expect one row on either side, and compare all with all
    AND needed.locked_id NOT IN (SELECT id FROM free);
