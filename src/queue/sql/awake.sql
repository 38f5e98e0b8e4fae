-- Gives the lock of sleep.sql back.
PREPARE awake AS
SELECT pg_advisory_unlock(1735549284, 1);
