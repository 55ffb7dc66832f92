-- Enqueues jobs that have ended again, as new ones, with what their last log row has kept. Answers for each of the ids
-- its new id, or why it has none, and the last of the jobs by which it was run again before. The log row, locked, keeps a
-- job from being enqueued again twice, unless that is forced; the dedupe_key, its own or one made of its id, keeps two of a
-- kind from being to be done at a time. In a workflow the new job takes the place of the old one: its name, and the
-- edges on both sides.
WITH RECURSIVE wanted AS (
    SELECT DISTINCT id
    FROM unnest(CAST(:ids AS bigint[])) AS wanted (id)
    -- all callers lock in one order
    ORDER BY id
), ended AS (
    SELECT
        log.*,
        COALESCE(log.dedupe_key, 'pgq-requeue-' || log.job_id) AS key,
        -- JSON null in arguments: something was given to the job, and not kept
        log.arguments IS DISTINCT FROM CAST('null' AS jsonb) AS is_kept
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT *
        FROM pgq_log
        WHERE job_id = wanted.id
            AND NOT retried
        -- One by one, by index: without statistics the planner would rather read the whole log.
        LIMIT 1
        -- who comes second sees what the first one did, whatever its snapshot
        FOR UPDATE
    ) AS log
), run_again (id, run_as) AS (
    SELECT job_id, requeued_as
    FROM ended
    WHERE requeued_as IS NOT NULL
    UNION
    SELECT run_again.id, log.requeued_as
    FROM run_again
    CROSS JOIN LATERAL (
        SELECT requeued_as
        FROM pgq_log
        WHERE job_id = run_again.run_as
            AND NOT retried
        LIMIT 1
    ) AS log
    WHERE log.requeued_as IS NOT NULL
), latest AS (
    SELECT
        run_again.id,
        run_again.run_as,
        COALESCE(
            (SELECT status FROM pgq_job WHERE id = run_again.run_as),
            (SELECT status FROM pgq_log WHERE job_id = run_again.run_as AND NOT retried LIMIT 1)
        ) AS status
    FROM (
        SELECT id, max(run_as) AS run_as
        FROM run_again
        GROUP BY id
    ) AS run_again
), chosen AS (
    -- of several with the same key the first, so that the answer can tell which one it is that was enqueued
    SELECT DISTINCT ON (key) *
    FROM ended
    WHERE is_kept
        AND (requeued_as IS NULL OR CAST(:force AS boolean))
    ORDER BY key, job_id
), requeued AS (
    INSERT INTO pgq_job (
        queue, entrypoint, priority, payload, arguments, headers, dedupe_key, max_attempts,
        schedule_id, workflow_id, concurrency_key, name
    )
    SELECT
        queue, entrypoint, priority, payload, arguments, headers, key, max_attempts,
        schedule_id, workflow_id, concurrency_key,
        -- what has no name goes by the id that it had first
        CASE WHEN workflow_id IS NOT NULL THEN COALESCE(name, CAST(job_id AS text)) END
    FROM chosen
    ORDER BY job_id
    ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING id, dedupe_key
), done AS (
    SELECT chosen.id AS log_id, chosen.job_id AS id, chosen.workflow_id, requeued.id AS new_id
    FROM chosen
    JOIN requeued ON requeued.dedupe_key = chosen.key
), marked AS (
    UPDATE pgq_log AS log
    -- Not joined: of a log that was empty when it was analysed the planner would rather read all.
    SET requeued_as = (SELECT new_id FROM done WHERE log_id = log.id)
    WHERE id = ANY (ARRAY (SELECT log_id FROM done))
        -- The planner expects few between these, and takes the index for them.
        AND id BETWEEN (SELECT min(log_id) FROM done) AND (SELECT max(log_id) FROM done)
), successor AS (
    SELECT id, new_id
    FROM done
    WHERE workflow_id IS NOT NULL
), moved AS (
    UPDATE pgq_dependency AS edge
    SET job_id = COALESCE((SELECT new_id FROM successor WHERE id = edge.job_id), edge.job_id),
        depends_on = COALESCE((SELECT new_id FROM successor WHERE id = edge.depends_on), edge.depends_on)
    WHERE edge.job_id = ANY (ARRAY (SELECT id FROM successor))
        OR edge.depends_on = ANY (ARRAY (SELECT id FROM successor))
)
SELECT
    wanted.id,
    done.new_id,
    CASE
        WHEN done.new_id IS NOT NULL THEN NULL
        WHEN NOT ended.is_kept THEN 'not kept'
        WHEN ended.requeued_as IS NOT NULL AND NOT CAST(:force AS boolean) THEN 'run again'
        WHEN ended.is_kept AND chosen.job_id IS NULL THEN 'twin'
        WHEN starts_with(ended.key, 'pgq-requeue-') THEN 'again'
        WHEN ended.is_kept THEN 'duplicate'
        WHEN (SELECT true FROM pgq_job WHERE id = wanted.id) THEN 'unfinished'
        ELSE 'unknown'
    END AS refusal,
    latest.run_as,
    latest.status AS run_status
FROM wanted
LEFT JOIN latest ON latest.id = wanted.id
LEFT JOIN ended ON ended.job_id = wanted.id
LEFT JOIN chosen ON chosen.job_id = wanted.id
LEFT JOIN done ON done.id = wanted.id
ORDER BY wanted.id;
