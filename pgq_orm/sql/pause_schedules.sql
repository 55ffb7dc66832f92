-- Lets schedules rest, or fire again. Answers those that were found.
UPDATE pgq_schedule
SET paused = CAST(:paused AS boolean),
    updated = now()
WHERE id = ANY (CAST(:ids AS bigint[]))
RETURNING id;
