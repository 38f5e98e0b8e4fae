-- 100: sessions graded as a whole.
--
-- One row a session, written with the settlement of its full_grading job. A table of its own, so that the row of
-- grading_sessions, which each settlement of a batch writes anew, carries none of it. The index serves the look-up of an
-- equal session that was graded lately.

SET lock_timeout = '5s';
SET client_min_messages = warning;

CREATE TABLE IF NOT EXISTS session_gradings (
	session_id    uuid PRIMARY KEY,
	score         integer NOT NULL CHECK (score BETWEEN 0 AND 100),
	grading       jsonb NOT NULL,
	upto          bigint NOT NULL DEFAULT 0,
	cached        boolean NOT NULL DEFAULT false,
	cache_key     text,
	provenance    jsonb,
	job_id        uuid,
	given_at      timestamptz NOT NULL DEFAULT now(),
	graded_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS session_gradings_key ON session_gradings (cache_key);
ALTER TABLE session_gradings ENABLE ROW LEVEL SECURITY;	-- grading_secure() says who sees it

COMMENT ON TABLE session_gradings IS 'what full_grading jobs said of their session as a whole, the latest one of each';
COMMENT ON COLUMN session_gradings.grading IS
	'score, summary, strengths, improvements, ratings (lines and share of each), lines, unrated, failed_batches';
COMMENT ON COLUMN session_gradings.upto IS 'the highest cursor of the ratings that it is made of';

INSERT INTO grading_migrations (version, name) VALUES (100, '100_session_gradings.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
