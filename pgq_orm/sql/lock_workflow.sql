-- Holds a workflow until the end of the transaction: of two that add a job of the same name the second finds the first's.
SELECT pg_advisory_xact_lock(hashtextextended('pgq-workflow-' || CAST(CAST(:workflow_id AS uuid) AS text), 0));
