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
    WHERE edge.job_id = ANY (CAST(:new_ids AS bigint[]))
        OR edge.depends_on = ANY (CAST(:new_ids AS bigint[]))
)
DELETE FROM pgq_job
WHERE id = ANY (CAST(:new_ids AS bigint[]));
