-- Takes back jobs that the same transaction has just enqueued again; the edges of their workflows are the old ones' again,
-- and the old ones' log rows name the jobs, if any, by which these were run again before.
-- ARRAY: for hundreds of ids in plain sight the planner, without statistics, would rather read the tables.
WITH successor AS (
    SELECT successor.id, new_id, run_as, log.id AS log_id
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:new_ids AS bigint[]),
        CAST(:run_as AS bigint[])
    ) AS successor (id, new_id, run_as)
    LEFT JOIN LATERAL (
        SELECT id
        FROM pgq_log
        WHERE job_id = successor.id
            AND NOT retried
        LIMIT 1
    ) AS log ON true
), unmarked AS (
    UPDATE pgq_log AS log
    SET requeued_as = (SELECT run_as FROM successor WHERE log_id = log.id)
    WHERE id = ANY (ARRAY (SELECT log_id FROM successor))
        -- The planner expects few between these, and takes the index for them.
        AND id BETWEEN (SELECT min(log_id) FROM successor) AND (SELECT max(log_id) FROM successor)
), restored AS (
    UPDATE pgq_dependency AS edge
    SET job_id = COALESCE((SELECT id FROM successor WHERE new_id = edge.job_id), edge.job_id),
        depends_on = COALESCE((SELECT id FROM successor WHERE new_id = edge.depends_on), edge.depends_on)
    WHERE edge.job_id = ANY (ARRAY (SELECT new_id FROM successor))
        OR edge.depends_on = ANY (ARRAY (SELECT new_id FROM successor))
)
DELETE FROM pgq_job
WHERE id = ANY (ARRAY (SELECT new_id FROM successor))
    AND id BETWEEN (SELECT min(new_id) FROM successor) AND (SELECT max(new_id) FROM successor);
