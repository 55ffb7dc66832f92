-- Takes tokens for jobs of a queue that is to be picked from, as many as its rate limit has for them; or puts back what
-- was not needed (wanted < 0). A queue without a rate limit has as many as are wanted.
SELECT granted, wait_seconds
FROM pgq_grant(CAST(:queue AS text), CAST(:wanted AS integer));
