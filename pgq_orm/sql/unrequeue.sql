-- Takes back jobs that the same transaction has just enqueued again; the edges of their workflows are the old ones' again.
WITH successor AS (
    SELECT id, new_id
    FROM unnest(
        CAST(:ids AS bigint[]),
        CAST(:new_ids AS bigint[])
    ) AS successor (id, new_id)
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
