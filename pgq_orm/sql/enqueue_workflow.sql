-- Adds jobs of a workflow and the edges between them, which name jobs of this call by their position, and others by
-- their id. A job with parents waits. One whose dedupe_key is in use is left out. Answers the rows added, in order.
WITH wanted AS MATERIALIZED (
    -- ids first, so that the edges can be added by the same statement
    SELECT nextval(pg_get_serial_sequence('pgq_job', 'id')) AS id, wanted.*
    FROM unnest(
        CAST(:names AS text[]),
        CAST(:queues AS text[]),
        CAST(:entrypoints AS text[]),
        CAST(CAST(:priorities AS text) AS integer[]),
        CAST(:execute_ats AS timestamptz[]),
        CAST(:delays_seconds AS double precision[]),
        CAST(:payloads AS bytea[]),
        CAST(:arguments AS text[]),
        CAST(:headers AS text[]),
        CAST(:dedupe_keys AS text[]),
        CAST(:max_attempts AS integer[]),
        CAST(:concurrency_keys AS text[]),
        CAST(:parents_counts AS integer[])
    ) WITH ORDINALITY AS wanted (
        name, queue, entrypoint, priority, execute_at, delay_seconds, payload, arguments, headers, dedupe_key,
        max_attempts, concurrency_key, parents_count, position
    )
), added AS (
    INSERT INTO pgq_job (
        id, workflow_id, name, status, waits_for, queue, entrypoint, priority, execute_after, payload, arguments,
        headers, dedupe_key, max_attempts, concurrency_key
    )
    SELECT
        id,
        CAST(:workflow_id AS uuid),
        name,
        CASE WHEN parents_count > 0 THEN 'waiting' ELSE 'queued' END,
        NULLIF(parents_count, 0),
        queue,
        entrypoint,
        priority,
        COALESCE(execute_at, now() + make_interval(secs => delay_seconds)),
        payload,
        CAST(arguments AS jsonb),
        CAST(headers AS jsonb),
        dedupe_key,
        max_attempts,
        concurrency_key
    FROM wanted
    ORDER BY position
    ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING id, dedupe_key
), connected AS (
    INSERT INTO pgq_dependency (job_id, depends_on, on_failure)
    SELECT child.id, COALESCE(edge.parent_id, parent.id), edge.on_failure
    FROM unnest(
        CAST(:edge_children AS bigint[]),
        CAST(:edge_parents AS bigint[]),
        CAST(:edge_parent_ids AS bigint[]),
        CAST(:edge_policies AS text[])
    ) AS edge (child, parent, parent_id, on_failure)
    JOIN wanted AS child ON child.position = edge.child
    JOIN added ON added.id = child.id
    LEFT JOIN wanted AS parent ON parent.position = edge.parent
)
SELECT id, dedupe_key
FROM added;
