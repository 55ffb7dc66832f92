-- Forgets what was said of queues: none of them is paused any more, or has limits. Answers the names that were found.
DELETE FROM pgq_queue
WHERE name = ANY (CAST(:names AS text[]))
RETURNING name;
