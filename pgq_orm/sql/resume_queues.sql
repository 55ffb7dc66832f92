-- Ends the pause of queues. Answers the names of those that were paused.
WITH resumed AS (
    SELECT name, resume_at
    FROM pgq_queue
    WHERE name = ANY (CAST(:names AS text[]))
        AND paused
    ORDER BY name
    FOR UPDATE
), changed AS (
    UPDATE pgq_queue AS queue
    SET paused = false,
        resume_at = NULL,
        updated = now()
    FROM resumed
    WHERE queue.name = resumed.name
)
SELECT name
FROM resumed
WHERE resume_at IS NULL
    OR resume_at > now();
