-- The tables of the bare loop: what a queue with the same results cannot do without, and nothing else.

CREATE SCHEMA bare;

CREATE TABLE bare.jobs (
	id           uuid PRIMARY KEY DEFAULT grading_uuid(),
	session_id   uuid NOT NULL,
	job_type     text NOT NULL DEFAULT 'line_rating',
	job_data     jsonb NOT NULL,
	status       text NOT NULL DEFAULT 'pending',
	result       jsonb,
	claim        bigint NOT NULL DEFAULT 0,
	created_at   timestamptz NOT NULL DEFAULT now(),
	started_at   timestamptz,
	completed_at timestamptz
);
CREATE INDEX ON bare.jobs (id) WHERE status = 'pending';

CREATE TABLE bare.ratings (
	session_id   uuid NOT NULL,
	line_index   integer NOT NULL,
	line_text    text NOT NULL,
	rating       text NOT NULL,
	alternatives text[] NOT NULL,
	reason       text,
	job_id       uuid NOT NULL,
	provenance   jsonb,
	rated_at     timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (session_id, line_index)
);

CREATE TABLE bare.sessions (
	session_id        uuid PRIMARY KEY,
	completed_batches integer NOT NULL,
	rated_lines       integer NOT NULL,
	first_rated_at    timestamptz NOT NULL DEFAULT now(),
	updated_at        timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE bare.cache (
	cache_key    text PRIMARY KEY,
	phrase       text NOT NULL,
	alternatives text[] NOT NULL,
	rating       text NOT NULL,
	reason       text,
	provenance   jsonb,
	created_at   timestamptz NOT NULL DEFAULT now()
);
