-- 093: numbers that never come back, and each provenance stored once. gradingctl: statement by statement
--
-- Claims were numbered from 0 for each row, so a row that was deleted and inserted again under its id had the numbers of
-- the one before, and what a worker still had of that was stored for this one. Cursors were numbered from 0 for each
-- session, out of a row that a settlement might not see yet, so that some came twice, and began anew where the session
-- was removed and enqueued again. Both come out of sequences now, which start above whatever was counted so far and stay
-- below 2^53, so that a program that reads them as doubles reads them right.
--
-- While a daemon of the release before goes on, what it stores has the small cursors of old: who follows cursors reads
-- that session once more from 0 after it has gone.

SET lock_timeout = '5s';
SET client_min_messages = warning;

-- CACHE 1: the order in which numbers are drawn is what cursors are for. A draw of them is worth 64, one for each line of
-- a job; 2^53 is far enough away for 10,000 jobs a second for 400 years.
CREATE SEQUENCE IF NOT EXISTS grading_claims AS bigint MINVALUE 1099511627776 CACHE 1;
CREATE SEQUENCE IF NOT EXISTS grading_cursors AS bigint INCREMENT 64 MINVALUE 1099511627776 CACHE 1;

COMMENT ON SEQUENCE grading_claims IS 'numbers of claims: the default of grading_jobs.claim, and drawn by each claim';
COMMENT ON SEQUENCE grading_cursors IS 'line_ratings.seq; drawn under the lock of the session''s row';

-- Whoever inserts a job draws a number, by the column's default; who only draws some does no harm.
GRANT USAGE ON SEQUENCE grading_claims, grading_cursors TO PUBLIC;

-- Each provenance once. Its id is computed from its text, so that nobody has to ask for it.
CREATE TABLE IF NOT EXISTS grading_provenance (
	id         uuid PRIMARY KEY,
	document   jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE grading_provenance ENABLE ROW LEVEL SECURITY;	-- grading_secure() says who sees it

COMMENT ON TABLE grading_provenance IS 'who gave ratings, by which prompt and scale; line_ratings.provenance_id';

-- In the order in which the daemon locks rows.
ALTER TABLE grading_jobs
	ADD COLUMN IF NOT EXISTS times_claimed integer NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS tenant text,
	ADD COLUMN IF NOT EXISTS profile text,
	ALTER COLUMN claim SET DEFAULT nextval('grading_claims');

ALTER TABLE grading_sessions
	ADD COLUMN IF NOT EXISTS tenant text,
	ADD COLUMN IF NOT EXISTS profile text;

ALTER TABLE line_ratings
	ADD COLUMN IF NOT EXISTS provenance_id uuid,
	ADD COLUMN IF NOT EXISTS given_at timestamptz;

COMMENT ON COLUMN grading_jobs.claim IS 'number of the latest claim, or of the row while nobody has claimed it; never used twice';
COMMENT ON COLUMN grading_jobs.times_claimed IS 'how often the job was claimed';
COMMENT ON COLUMN grading_sessions.rated_seq IS 'how many ratings were stored for the session, one that replaced another included';
COMMENT ON COLUMN line_ratings.seq IS 'the cursor of grading_ratings(): within a session in the order of commits';
COMMENT ON COLUMN line_ratings.provenance IS 'of rows that an earlier release stored; of others see provenance_id';
COMMENT ON COLUMN line_ratings.given_at IS 'when the rater gave it, where that was earlier than the row: it came from the phrase cache';

INSERT INTO grading_migrations (version, name) VALUES (93, '093_numbers.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
