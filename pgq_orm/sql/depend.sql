-- Lets jobs that no worker has picked wait for others.
INSERT INTO pgq_dependency (job_id, depends_on, on_failure)
SELECT job_id, depends_on, CAST(:on_failure AS text)
FROM unnest(CAST(:ids AS bigint[])) AS child (job_id)
CROSS JOIN unnest(CAST(:parent_ids AS bigint[])) AS parent (depends_on)
ON CONFLICT (job_id, depends_on) DO NOTHING;
