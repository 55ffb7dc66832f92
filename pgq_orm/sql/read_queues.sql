-- What is said of these queues, or of all. A pause whose time is over is none any more, though nobody has ended it.
SELECT
    name,
    concurrency,
    rate_limit,
    rate_limit_window,
    paused AND COALESCE(resume_at > now(), true) AS is_paused,
    CASE WHEN resume_at > now() THEN resume_at END AS resume_at,
    now() AS clock
FROM pgq_queue
WHERE CAST(:names AS text[]) IS NULL
    OR name = ANY (CAST(:names AS text[]))
ORDER BY name;
