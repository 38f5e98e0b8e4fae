-- 096: no job loses its place in the queue.
--
-- Where priority and available_at of an adopted table may be NULL, 095 sees to what is inserted. An UPDATE to NULL, by which
-- an application may mean "now" or "none", left a job that nobody claims.

SET lock_timeout = '5s';
SET client_min_messages = warning;

-- Not a refusal, since the application's statement was a good one before its table was adopted; and after the update, not
-- before it: with a trigger before, each row is locked once more, whatever is updated. This one costs a look at the new row.
CREATE OR REPLACE FUNCTION grading_jobs_keep_place() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE grading_jobs g SET priority = coalesce(g.priority, 0),
		available_at = coalesce(g.available_at, pg_catalog.now())
	WHERE g.id = NEW.id AND (g.priority IS NULL OR g.available_at IS NULL);
	RETURN NULL;
END $$;

-- The depth ends it where a trigger of the application's makes NULL of whatever is written.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'grading_jobs'::regclass
	           AND attname IN ('priority', 'available_at') AND NOT attnotnull) THEN
		CREATE OR REPLACE TRIGGER grading_jobs_keep_place
			AFTER UPDATE ON grading_jobs FOR EACH ROW
			WHEN ((NEW.priority IS NULL OR NEW.available_at IS NULL) AND pg_trigger_depth() < 8)
			EXECUTE FUNCTION grading_jobs_keep_place();
	END IF;
END $$;

INSERT INTO grading_migrations (version, name) VALUES (96, '096_kept_places.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
