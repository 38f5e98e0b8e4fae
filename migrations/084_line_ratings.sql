-- 084: what is produced: one row a rated line, and one row a session with its counters.

SET lock_timeout = '5s';
SET client_min_messages = warning;

CREATE TABLE IF NOT EXISTS grading_sessions (
	session_id        uuid PRIMARY KEY,
	total_batches     integer NOT NULL DEFAULT 0,
	completed_batches integer NOT NULL DEFAULT 0,
	failed_batches    integer NOT NULL DEFAULT 0,
	total_lines       integer NOT NULL DEFAULT 0,
	rated_lines       integer NOT NULL DEFAULT 0,
	skipped_lines     integer NOT NULL DEFAULT 0,
	rated_seq         bigint NOT NULL DEFAULT 0,
	announced         boolean NOT NULL DEFAULT false,
	created_at        timestamptz NOT NULL DEFAULT now(),
	started_at        timestamptz,
	first_rated_at    timestamptz,
	completed_at      timestamptz,
	updated_at        timestamptz NOT NULL DEFAULT now(),
	-- Computed, so that it can never disagree with the counters.
	status            text GENERATED ALWAYS AS (CASE
		WHEN total_batches > 0 AND completed_batches + failed_batches >= total_batches
			THEN CASE WHEN completed_batches > 0 THEN 'completed' ELSE 'failed' END
		WHEN announced AND total_batches = 0 THEN 'completed'
		WHEN started_at IS NULL THEN 'queued'
		ELSE 'processing' END) STORED
) WITH (fillfactor = 70);	-- its counters are in no index: updates stay on the page (HOT)

COMMENT ON TABLE grading_sessions IS 'one row a session; moved by atomic increments in the transaction that settles a job';
COMMENT ON COLUMN grading_sessions.total_batches IS 'as announced, or as many as were settled if that is more';
COMMENT ON COLUMN grading_sessions.total_lines IS 'lines to be rated: known at once after grading_enqueue(), else growing with each settled batch';
COMMENT ON COLUMN grading_sessions.announced IS 'made by grading_enqueue(): the totals are known beforehand';
COMMENT ON COLUMN grading_sessions.rated_seq IS 'the highest seq in line_ratings; moved under the lock of this row';

CREATE TABLE IF NOT EXISTS line_ratings (
	session_id   uuid NOT NULL,
	line_index   integer NOT NULL,
	line_text    text NOT NULL,
	rating       text NOT NULL,
	alternatives text[] NOT NULL DEFAULT '{}',
	reason       text,
	cached       boolean NOT NULL DEFAULT false,
	job_id       uuid,
	provenance   jsonb,
	seq          bigint NOT NULL DEFAULT 0,
	rated_at     timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (session_id, line_index)
);

COMMENT ON TABLE line_ratings IS 'one row a rated line, stored as it arrives';
COMMENT ON COLUMN line_ratings.seq IS 'order of arrival within the session, without gaps for readers: the cursor of grading_ratings()';

INSERT INTO grading_migrations (version, name) VALUES (84, '084_line_ratings.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
