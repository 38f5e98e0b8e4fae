-- 094: sessions that end, grow and are forgotten. gradingctl: statement by statement
--
-- What is known of a session's transcript is kept with it, so that one that has grown makes jobs of its new entries alone.
-- Jobs that ended without a rating for each line, or that somebody else ended, are found by their session: the index has
-- none of those that gradingd completed in order, so it costs a settlement nothing.

SET lock_timeout = '5s';
SET client_min_messages = warning;

ALTER TABLE grading_sessions
	ADD COLUMN IF NOT EXISTS lines int8multirange,
	ADD COLUMN IF NOT EXISTS cleaned_at timestamptz;

COMMENT ON COLUMN grading_sessions.lines IS 'indexes of the entries of its transcript that made jobs, after grading_enqueue()';
COMMENT ON COLUMN grading_sessions.cleaned_at IS 'when its ratings were removed for their age (queue.keep_ratings)';

-- What the functions must know of the daemon's configuration; a janitor writes it down when it starts.
CREATE TABLE IF NOT EXISTS grading_settings (
	name       text PRIMARY KEY,
	value      jsonb NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE grading_settings ENABLE ROW LEVEL SECURITY;	-- grading_secure() says who sees it

COMMENT ON TABLE grading_settings IS 'keys of gradingd.conf(5) that the functions go by';

-- An index left invalid by an interrupted build is dropped first, as in 086.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('grading_jobs_remarkable') AND NOT indisvalid) THEN
		DROP INDEX grading_jobs_remarkable;
	END IF;
END $$;

-- IS TRUE hides from the planner which rows are in it, as in 092.
CREATE INDEX CONCURRENTLY IF NOT EXISTS grading_jobs_remarkable
	ON grading_jobs (session_id) WHERE (status::text = 'failed'::text OR status::text = 'completed'::text
		AND (error IS NOT NULL OR counted_as IS DISTINCT FROM 'completed'::text)) IS TRUE;

INSERT INTO grading_migrations (version, name) VALUES (94, '094_sessions.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
