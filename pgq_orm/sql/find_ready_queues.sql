-- Which of these queues have jobs that are ready, in the order given: for a worker that serves many, most of them empty.
SELECT served.queue
FROM unnest(CAST(:queues AS text[])) WITH ORDINALITY AS served (queue, place)
CROSS JOIN LATERAL (
    -- ordered and limited, so that it is a probe into the pick's index, whatever the planner knows of the table
    SELECT id
    FROM pgq_job
    WHERE status = 'queued'
        AND execute_after <= updated
        AND queue = served.queue
    ORDER BY priority DESC, id
    LIMIT 1
) AS ready
ORDER BY served.place;
