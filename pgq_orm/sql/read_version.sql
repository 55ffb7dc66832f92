-- The installed version of the schema; see has_version first.
SELECT max(version)
FROM pgq_version;
