-- Locks are waited for no longer than this in the whole transaction, so that what somebody else
-- holds keeps no other row waiting for long. In force when this was read.
SELECT pg_catalog.set_config('lock_timeout'::text, '200ms'::text, true) AS briefly OFFSET 0
