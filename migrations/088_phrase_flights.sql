-- 088: who asks the rater about which phrase right now, so that equal lines cost one call. Nothing here is worth
-- keeping: a row lost is a call made twice, never a rating lost or stored twice. Hence unlogged.

SET lock_timeout = '5s';
SET client_min_messages = warning;

CREATE UNLOGGED TABLE IF NOT EXISTS phrase_flights (
	cache_key text COLLATE "C" PRIMARY KEY,
	asker     text NOT NULL,		-- as in grading_jobs.claimed_by; '': nobody, everybody may ask
	until     timestamptz NOT NULL		-- then the next one may have it
) WITH (fillfactor = 70,	-- leases are renewed in place (HOT)
	autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

COMMENT ON TABLE phrase_flights IS 'phrases a rater is being asked about: others wait for the phrase_cache entry that it brings';
COMMENT ON COLUMN phrase_flights.until IS 'renewed while the call is out; a lost asker''s row is taken over after it';

INSERT INTO grading_migrations (version, name) VALUES (88, '088_phrase_flights.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
