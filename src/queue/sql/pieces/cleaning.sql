-- Whether it is our turn to clean: one host at a time, by a lock of the transaction so that a
-- pooler does no harm.
pg_try_advisory_xact_lock(1735549284, 2)
