DROP TABLE IF EXISTS pgq_version;

DROP TABLE IF EXISTS pgq_dependency;

DROP TABLE IF EXISTS pgq_queue;

DROP TABLE IF EXISTS pgq_worker;

DROP TABLE IF EXISTS pgq_bucket;

DROP TABLE IF EXISTS pgq_schedule;

DROP TABLE IF EXISTS pgq_log;

DROP TABLE IF EXISTS pgq_job;

DROP FUNCTION IF EXISTS pgq_wake();
DROP FUNCTION IF EXISTS pgq_is_first_to_wake();

DROP FUNCTION IF EXISTS pgq_queue_changed();

DROP FUNCTION IF EXISTS pgq_await_parents();

DROP FUNCTION IF EXISTS pgq_job_ended();

DROP FUNCTION IF EXISTS pgq_release_children(bigint[]);

DROP FUNCTION IF EXISTS pgq_hold(bigint[]);

DROP FUNCTION IF EXISTS pgq_touched(bigint[]);

DROP FUNCTION IF EXISTS pgq_children(bigint[]);

DROP FUNCTION IF EXISTS pgq_cancel_orphans(bigint[], bigint[]);

DROP FUNCTION IF EXISTS pgq_permit(text[], text[], integer[], integer[], double precision[], double precision[], integer);

DROP FUNCTION IF EXISTS pgq_open_keys(text[], text, integer, integer);

DROP FUNCTION IF EXISTS pgq_has_ready(text[], text, bigint[]);

DROP FUNCTION IF EXISTS pgq_grant(text, integer);

DROP FUNCTION IF EXISTS pgq_take(text, double precision, double precision, bigint);

DROP FUNCTION IF EXISTS pgq_tokens(text, double precision, double precision);

DROP SEQUENCE IF EXISTS pgq_wake_seq;
