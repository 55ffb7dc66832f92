-- The jobs that ended as exception, the latest first, past the log row `after` if there is one. Walks along the index
-- of failures and stops. (SELECT …): of a limit that it cannot know the planner expects a tenth of what there is, and walks
-- there; without statistics it may believe that there are no more failures than asked for, and would sort them all.
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
    AND id < COALESCE(CAST(:after AS bigint), 9223372036854775807)
ORDER BY id DESC
LIMIT (SELECT CAST(:limit AS integer));
