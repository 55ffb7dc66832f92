-- Takes back jobs that the same transaction has just enqueued again; the edges of their workflows are the old ones' again,
-- and the old ones' log rows name the jobs, if any, by which these were run again before.
WITH successor AS (
    SELECT id, new_id, run_as
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:new_ids AS bigint[]),
        CAST(:run_as AS bigint[])
    ) AS successor (id, new_id, run_as)
), unmarked AS (
    UPDATE pgq_log AS log
    SET requeued_as = ended.run_as
    FROM (
        SELECT ended.id, successor.run_as
        FROM successor
        CROSS JOIN LATERAL (
            SELECT id
            FROM pgq_log
            WHERE job_id = successor.id
                AND NOT retried
            LIMIT 1
        ) AS ended
        LIMIT (SELECT cardinality(CAST(:ids AS bigint[])))
    ) AS ended
    WHERE log.id = ended.id
), restored AS (
    UPDATE pgq_dependency AS edge
    SET job_id = COALESCE((SELECT id FROM successor WHERE new_id = edge.job_id), edge.job_id),
        depends_on = COALESCE((SELECT id FROM successor WHERE new_id = edge.depends_on), edge.depends_on)
    -- ARRAY: for hundreds of ids in plain sight the planner, without statistics, would rather read all edges
    WHERE edge.job_id = ANY (ARRAY (SELECT new_id FROM successor))
        OR edge.depends_on = ANY (ARRAY (SELECT new_id FROM successor))
)
DELETE FROM pgq_job AS job
USING (
    SELECT new_id
    FROM successor
    -- A limit that the planner cannot know: it expects few, and looks them up one by one, whatever it believes of the table.
    LIMIT (SELECT cardinality(CAST(:ids AS bigint[])))
) AS added
WHERE job.id = added.new_id;
