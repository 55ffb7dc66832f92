-- Holds a workflow until the end of the transaction: of two that add a job of the same name the second finds the first's.
-- Answers the isolation level besides, for under REPEATABLE READ it would not: its snapshot is older than the lock.
SELECT
    pg_advisory_xact_lock(hashtextextended('pgq-workflow-' || CAST(CAST(:workflow_id AS uuid) AS text), 0)),
    current_setting('transaction_isolation');
