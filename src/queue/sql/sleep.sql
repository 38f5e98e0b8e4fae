-- The lock by which inserts learn that somebody sleeps (see migration 082). It is the session's, so
-- it wants a direct connection.
PREPARE sleep AS
SELECT pg_try_advisory_lock(1735549284, 1);
