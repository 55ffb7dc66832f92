-- The jobs that ended as exception and were not enqueued again, the latest first, past the log row `after` if there is
-- one. Walks along the index of failures and stops. (SELECT …): of a limit that it cannot know the planner expects a tenth
-- of what there is, and walks there; without statistics it may believe that there are no more failures than asked for,
-- and would sort them all.
SELECT
    id,
    job_id,
    created,
    enqueued,
    priority,
    attempt,
    queue,
    entrypoint,
    error,
    traceback,
    payload,
    CAST(arguments AS text),
    CAST(headers AS text),
    dedupe_key,
    schedule_id,
    workflow_id
FROM pgq_log
WHERE status = 'exception'
    AND NOT retried
    -- CASE: of a bare IS NULL the planner expects, without statistics, so few that it would sort them
    AND CASE WHEN requeued_as IS NULL THEN true ELSE false END
    AND id < COALESCE(CAST(:after AS bigint), 9223372036854775807)
ORDER BY id DESC
LIMIT (SELECT CAST(:limit AS integer));
