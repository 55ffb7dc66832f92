-- Removes the schedules of these entrypoints whose expression is not among the declared ones. A declared one is not
-- touched, so that it keeps its clock; jobs that have been enqueued stay.
WITH declared AS (
    SELECT entrypoint, expression
    FROM unnest(CAST(:entrypoints AS text[]), CAST(:expressions AS text[])) AS given (entrypoint, expression)
)
DELETE FROM pgq_schedule AS schedule
WHERE schedule.entrypoint IN (SELECT entrypoint FROM declared)
    AND NOT EXISTS (
        SELECT FROM declared
        WHERE declared.entrypoint = schedule.entrypoint AND declared.expression = schedule.expression
    )
RETURNING schedule.entrypoint, schedule.expression;
