-- 086: the queue's indexes. gradingctl: statement by statement
--
-- Built concurrently, so that a large adopted table stays writable meanwhile; that cannot run inside a transaction.
-- An index left invalid by an interrupted build is dropped first. Partial, so that finished rows cost nothing.

SET client_min_messages = warning;

-- Jobs that were waiting in an adopted table keep their age. Not in 082, where the table is locked for an instant only.
UPDATE grading_jobs SET available_at = created_at
WHERE status IN ('pending', 'processing') AND claim = 0 AND available_at <= now() AND created_at < available_at;

DO $$
DECLARE
	broken regclass;
BEGIN
	FOR broken IN
		SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid AND indrelid = 'grading_jobs'::regclass
			AND indexrelid::regclass::text ~ 'grading_jobs_(claim|processing|completed|failed)'
	LOOP
		EXECUTE format('DROP INDEX %s', broken);
	END LOOP;
END $$;

-- Claims: by priority, then age.
CREATE INDEX CONCURRENTLY IF NOT EXISTS grading_jobs_claim
	ON grading_jobs (priority DESC, available_at, id) WHERE status = 'pending';
-- Stuck jobs, and those of a dead worker: a few rows at any time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS grading_jobs_processing
	ON grading_jobs (started_at) WHERE status = 'processing';
-- The cleanup, and the runbook's own DELETE.
CREATE INDEX CONCURRENTLY IF NOT EXISTS grading_jobs_completed
	ON grading_jobs (completed_at) WHERE status = 'completed';
-- The runbook's list of failures.
CREATE INDEX CONCURRENTLY IF NOT EXISTS grading_jobs_failed
	ON grading_jobs (failed_at) WHERE status = 'failed';

INSERT INTO grading_migrations (version, name) VALUES (86, '086_indexes.sql') ON CONFLICT DO NOTHING;

RESET client_min_messages;
