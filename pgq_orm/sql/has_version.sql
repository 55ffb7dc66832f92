-- Whether there is a version to read. Asked first, because a missing table would abort the caller's transaction.
SELECT to_regclass('pgq_version') IS NOT NULL;
