-- 082: the queue.
--
-- Creates grading_jobs, or adopts the table an application made earlier under that name: columns that are missing
-- are added, defaults are set, nothing is rewritten. Each ALTER TABLE below holds its lock for an instant; where
-- another transaction is in the way for longer than lock_timeout, the migration fails and may be run again.

SET lock_timeout = '5s';
SET client_min_messages = warning;	-- "already exists, skipping" is no news

CREATE TABLE IF NOT EXISTS grading_migrations (
	version    integer PRIMARY KEY,
	name       text NOT NULL,
	checksum   text,		-- SHA-256 of the file; null when it was applied by hand with psql
	applied_at timestamptz NOT NULL DEFAULT now()
);

-- A uuid of version 7 (RFC 9562, 5.7, and 6.2 method 3): 48 bits of milliseconds, 12 bits of the fraction below, random
-- bits. Keys in the order of their creation keep inserts at the right edge of the index, and a session's batches in order.
CREATE OR REPLACE FUNCTION grading_uuid() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
	SELECT encode(
		overlay(uuid_send(gen_random_uuid()) PLACING
			int8send((us / 1000) << 16 | x'7000'::bigint | (us % 1000) * 4096 / 1000) FROM 1 FOR 8),
		'hex')::uuid
	FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS now
$$;

CREATE TABLE IF NOT EXISTS grading_jobs (
	id           uuid PRIMARY KEY DEFAULT grading_uuid(),
	session_id   uuid NOT NULL,
	job_type     text NOT NULL DEFAULT 'line_rating',
	job_data     jsonb,
	status       text NOT NULL DEFAULT 'pending'
	             CONSTRAINT grading_jobs_status_check
	             CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
	result       jsonb,
	error        text,
	attempts     integer NOT NULL DEFAULT 0,
	max_attempts integer NOT NULL DEFAULT 3,
	created_at   timestamptz NOT NULL DEFAULT now(),
	started_at   timestamptz,
	completed_at timestamptz,
	failed_at    timestamptz,
	updated_at   timestamptz NOT NULL DEFAULT now()
);

-- What an adopted table may lack, then what is ours alone.
ALTER TABLE grading_jobs
	ADD COLUMN IF NOT EXISTS job_type     text NOT NULL DEFAULT 'line_rating',
	ADD COLUMN IF NOT EXISTS job_data     jsonb,
	ADD COLUMN IF NOT EXISTS status       text NOT NULL DEFAULT 'pending',
	ADD COLUMN IF NOT EXISTS result       jsonb,
	ADD COLUMN IF NOT EXISTS error        text,
	ADD COLUMN IF NOT EXISTS attempts     integer NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS max_attempts integer NOT NULL DEFAULT 3,
	ADD COLUMN IF NOT EXISTS created_at   timestamptz NOT NULL DEFAULT now(),
	ADD COLUMN IF NOT EXISTS started_at   timestamptz,
	ADD COLUMN IF NOT EXISTS completed_at timestamptz,
	ADD COLUMN IF NOT EXISTS failed_at    timestamptz,
	ADD COLUMN IF NOT EXISTS updated_at   timestamptz NOT NULL DEFAULT now(),
	ADD COLUMN IF NOT EXISTS priority     integer NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS available_at timestamptz NOT NULL DEFAULT now(),	-- stable: computed once, no rewrite
	ADD COLUMN IF NOT EXISTS claim        bigint NOT NULL DEFAULT 0,
	ADD COLUMN IF NOT EXISTS claimed_by   text,
	ADD COLUMN IF NOT EXISTS counted_as   text,
	ALTER COLUMN id           SET DEFAULT grading_uuid(),
	ALTER COLUMN status       SET DEFAULT 'pending',
	ALTER COLUMN attempts     SET DEFAULT 0,
	ALTER COLUMN max_attempts SET DEFAULT 3,
	ALTER COLUMN created_at   SET DEFAULT now(),
	ALTER COLUMN updated_at   SET DEFAULT now();

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'grading_jobs'::regclass AND contype = 'c'
	               AND pg_get_constraintdef(oid) LIKE '%status%') THEN
		-- Not validated: what is there is not read, what comes is checked.
		ALTER TABLE grading_jobs ADD CONSTRAINT grading_jobs_status_check
			CHECK (status IN ('pending', 'processing', 'completed', 'failed')) NOT VALID;
	END IF;
END $$;

-- A queue's rows change a few times and go: let vacuum and analyze come early.
ALTER TABLE grading_jobs SET (
	autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
	autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 1000,
	autovacuum_vacuum_insert_scale_factor = 0.05);

-- Tells sleeping pools that there is work. A pool that sleeps holds this advisory lock; while none does, it can be had
-- shared and nothing is notified, because NOTIFY serialises commits across the whole database. (Shared, so that inserts
-- do not take each other for a sleeper.) A pool that falls asleep just now finds the row by looking once more after it
-- has the lock, or at its next poll; of several pools one holds the lock, and the notification reaches them all.
-- The lock is asked for in the condition, so that an insert under load does not pay for a call of the function.
CREATE OR REPLACE FUNCTION grading_jobs_wake() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('grading_jobs', '');
	RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER grading_jobs_wake AFTER INSERT ON grading_jobs FOR EACH STATEMENT
	WHEN (CASE WHEN pg_try_advisory_lock_shared(1735549284, 1)
	      THEN NOT pg_advisory_unlock_shared(1735549284, 1) ELSE true END)
	EXECUTE FUNCTION grading_jobs_wake();

INSERT INTO grading_migrations (version, name) VALUES (82, '082_grading_jobs.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
