-- Makes sure that queues have a row. What was said of one at run time stays, unless its settings are to be replaced;
-- and even then it stays paused if it is. Answers the names that were written.
INSERT INTO pgq_queue (name, concurrency, rate_limit, rate_limit_window)
SELECT name, concurrency, rate_limit, make_interval(secs => window_seconds)
FROM unnest(
    CAST(:names AS text[]),
    CAST(:concurrencies AS integer[]),
    CAST(:rate_limits AS integer[]),
    CAST(:windows_seconds AS double precision[])
) AS wanted (name, concurrency, rate_limit, window_seconds)
-- asked here as well, so that a worker that starts does not wait for somebody who is about to pause a queue
WHERE CAST(:upsert AS boolean)
    OR NOT EXISTS (SELECT FROM pgq_queue AS known WHERE known.name = wanted.name)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET concurrency = EXCLUDED.concurrency,
    rate_limit = EXCLUDED.rate_limit,
    rate_limit_window = EXCLUDED.rate_limit_window,
    updated = now()
WHERE CAST(:upsert AS boolean)
RETURNING name;
