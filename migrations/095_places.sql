-- 095: how long a session's batches are, and no job without a place in the queue. gradingctl: statement by statement
--
-- Lines without an index of their own get one by the length of a full batch, which the last batch does not say. What the
-- session's other jobs say is kept with the session, so that it outlives them.
--
-- In an adopted table priority and available_at may be NULL. Such a row comes first in the index of claims, which begin
-- behind it: it was never claimed, and the look at the queue took it for the first job and saw no other.

SET lock_timeout = '5s';
SET client_min_messages = warning;

ALTER TABLE grading_sessions ADD COLUMN IF NOT EXISTS stride integer;

COMMENT ON COLUMN grading_sessions.stride IS
	'lines in a full batch, as jobs say whose lines have no index of their own; null where nobody has asked';

-- Whoever inserts NULL gets what who names no value gets. Where the columns cannot be NULL there is nothing to do. Not of
-- updates: a trigger before them would have each row locked once more, whatever is updated.
CREATE OR REPLACE FUNCTION grading_jobs_place() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	NEW.priority := coalesce(NEW.priority, 0);
	NEW.available_at := coalesce(NEW.available_at, pg_catalog.now());
	RETURN NEW;
END $$;

DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'grading_jobs'::regclass
	           AND attname IN ('priority', 'available_at') AND NOT attnotnull) THEN
		CREATE OR REPLACE TRIGGER grading_jobs_place
			BEFORE INSERT ON grading_jobs FOR EACH ROW
			WHEN (NEW.priority IS NULL OR NEW.available_at IS NULL) EXECUTE FUNCTION grading_jobs_place();
	END IF;
END $$;

-- Those that are there already, all that may be claimed once more, a few at a time so that nobody waits for long. A row
-- that somebody has locked, or that a trigger refuses, is left; gradingctl doctor finds it.
DO $$
DECLARE
	homeless uuid[] := ARRAY(SELECT id FROM grading_jobs
		WHERE (priority IS NULL OR available_at IS NULL) AND status IN ('pending', 'processing', 'failed'));
	few uuid[];
	one uuid;
BEGIN
	FOR i IN 0 .. (cardinality(homeless) - 1) / 500 LOOP
		few := homeless[i * 500 + 1 : i * 500 + 500];
		BEGIN
			UPDATE grading_jobs SET priority = coalesce(priority, 0),
				available_at = coalesce(available_at, created_at, now())
			WHERE id = ANY(ARRAY(SELECT id FROM grading_jobs WHERE id = ANY(few) ORDER BY id FOR UPDATE SKIP LOCKED));
		EXCEPTION WHEN OTHERS THEN
			FOREACH one IN ARRAY few LOOP
				BEGIN
					UPDATE grading_jobs SET priority = coalesce(priority, 0),
						available_at = coalesce(available_at, created_at, now())
					WHERE id = ANY(ARRAY(SELECT id FROM grading_jobs WHERE id = one FOR UPDATE SKIP LOCKED));
				EXCEPTION WHEN OTHERS THEN
					RAISE WARNING 'job % has no priority or no available_at, and is not claimed: %', one, SQLERRM;
				END;
			END LOOP;
		END;
		COMMIT;
	END LOOP;
END $$;

-- Sessions that are at work just now, from their finished jobs: no settlement has kept it for them.
UPDATE grading_sessions s SET stride = found.stride
FROM (
	SELECT g.session_id, least(max((g.job_data ->> 'batchSize')::numeric), 2147483647)::integer AS stride
	FROM grading_jobs g
	WHERE g.session_id IN (
			SELECT o.session_id FROM grading_jobs o
			WHERE (o.status::text = 'pending'::text OR o.status::text = 'processing'::text) IS TRUE
			  AND NOT o.job_data -> 'transcript' -> 0 ?| ARRAY['index', 'line_number'])
	  AND g.status = 'completed' AND jsonb_typeof(g.job_data -> 'batchSize') = 'number'
	  AND (g.job_data ->> 'batchSize')::numeric >= 1
	GROUP BY g.session_id) AS found
WHERE s.session_id = found.session_id AND s.stride IS NULL;

INSERT INTO grading_migrations (version, name) VALUES (95, '095_places.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
