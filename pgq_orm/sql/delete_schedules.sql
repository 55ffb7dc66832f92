-- Removes schedules. Answers those that were found.
DELETE FROM pgq_schedule
WHERE id = ANY (CAST(:ids AS bigint[]))
RETURNING id;
