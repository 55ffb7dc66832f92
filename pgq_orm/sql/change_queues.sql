-- Changes those settings of queues that are given. Answers the names of the queues that have a row.
UPDATE pgq_queue
SET concurrency = CASE WHEN CAST(:sets_concurrency AS boolean) THEN CAST(:concurrency AS integer) ELSE concurrency END,
    rate_limit = CASE WHEN CAST(:sets_rate_limit AS boolean) THEN CAST(:rate_limit AS integer) ELSE rate_limit END,
    rate_limit_window = COALESCE(
        make_interval(secs => CAST(:window_seconds AS double precision)),
        rate_limit_window
    ),
    updated = now()
WHERE name = ANY (CAST(:names AS text[]))
RETURNING name;
