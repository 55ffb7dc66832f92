-- How many attempts ended alike in each second, the latest first. Rows are written in the order of id, so the log is
-- walked backwards page by page until a whole page is older than asked for, and no further.
-- A page has 800 rows. (SELECT 800): of a limit that it cannot know the planner expects a tenth of what there is, and walks
-- along the index; a plan that it made when there were fewer rows than 800 would sort the whole log for each page.
WITH RECURSIVE page AS (
    SELECT
        CAST(9223372036854775807 AS bigint) AS end_id,
        CAST(9223372036854775807 AS bigint) AS first_id,
        CAST('infinity' AS timestamptz) AS latest,
        COALESCE(
            statement_timestamp() - make_interval(secs => CAST(:last_seconds AS double precision)),
            CAST('-infinity' AS timestamptz)
        ) AS since
    UNION ALL
    SELECT page.first_id, earlier.first_id, earlier.latest, since
    FROM page
    CROSS JOIN LATERAL (
        SELECT min(id) AS first_id, max(created) AS latest
        FROM (
            SELECT id, created
            FROM pgq_log
            WHERE id < page.first_id
            ORDER BY id DESC
            LIMIT (SELECT 800)
        ) AS log
    ) AS earlier
    WHERE page.latest > since
        AND earlier.first_id IS NOT NULL
)
SELECT count(*), date_trunc('second', created) AS second, queue, entrypoint, priority, status, retried
FROM page
-- The same pages again, by the same walk: for a mere range of ids the planner may read the whole log.
CROSS JOIN LATERAL (
    SELECT *
    FROM pgq_log
    WHERE id < page.end_id
    ORDER BY id DESC
    LIMIT (SELECT 800)
) AS log
WHERE page.first_id < page.end_id
    AND created > since
GROUP BY second, queue, entrypoint, priority, status, retried
ORDER BY second DESC, queue, entrypoint, priority DESC, status, retried
LIMIT CAST(:tail AS bigint);
