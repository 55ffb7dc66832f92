DROP TABLE IF EXISTS pgq_version;

DROP TABLE IF EXISTS pgq_dependency;

DROP TABLE IF EXISTS pgq_queue;

DROP TABLE IF EXISTS pgq_worker;

DROP TABLE IF EXISTS pgq_schedule;

DROP TABLE IF EXISTS pgq_log;

DROP TABLE IF EXISTS pgq_job;

DROP FUNCTION IF EXISTS pgq_wake();

DROP FUNCTION IF EXISTS pgq_queue_changed();

DROP FUNCTION IF EXISTS pgq_await_parents();

DROP FUNCTION IF EXISTS pgq_job_ended();

DROP FUNCTION IF EXISTS pgq_release_children(bigint[]);

DROP FUNCTION IF EXISTS pgq_cancel_orphans(bigint[], bigint[]);

DROP SEQUENCE IF EXISTS pgq_wake_seq;
