-- 083: the phrase cache, one row a phrase rated before under the same rater, prompt, scale and context.
-- Adopts a table of the same name as 082 does; entries an application made there expire like all others.

SET lock_timeout = '5s';
SET client_min_messages = warning;

CREATE TABLE IF NOT EXISTS phrase_cache (
	cache_key    text COLLATE "C" PRIMARY KEY,	-- hexadecimal: compared as bytes
	phrase       text NOT NULL,
	alternatives text[] NOT NULL DEFAULT '{}',
	rating       text NOT NULL,
	context      text,
	created_at   timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE phrase_cache
	ADD COLUMN IF NOT EXISTS alternatives text[] DEFAULT '{}',
	ADD COLUMN IF NOT EXISTS context      text,
	ADD COLUMN IF NOT EXISTS created_at   timestamptz NOT NULL DEFAULT now(),
	ADD COLUMN IF NOT EXISTS reason       text,
	ADD COLUMN IF NOT EXISTS provenance   jsonb,
	ALTER COLUMN created_at SET DEFAULT now();
ALTER TABLE phrase_cache ALTER COLUMN context DROP NOT NULL;	-- in the statement above it would run before the ADD

COMMENT ON TABLE phrase_cache IS 'ratings of phrases, kept for cache.ttl';
COMMENT ON COLUMN phrase_cache.cache_key IS 'SHA-256 over all that determined the rating; entries with other keys are never read';
COMMENT ON COLUMN phrase_cache.provenance IS 'which rater and model gave the rating, under which prompt, and when';

INSERT INTO grading_migrations (version, name) VALUES (83, '083_phrase_cache.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
