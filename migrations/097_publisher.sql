-- 097: what the publisher remembers.
--
-- It carries what was settled to those who wait for it: into the application's live_sessions, for one. How far it has come
-- must outlive it, so that the next one knows where to look for what it missed, and what the application's table refuses
-- must be seen by who looks for it. Nothing here is read or locked by a settlement.

SET lock_timeout = '5s';
SET client_min_messages = warning;

CREATE TABLE IF NOT EXISTS grading_channels (
	name         text PRIMARY KEY,
	caught_up_at timestamptz NOT NULL
);
ALTER TABLE grading_channels ENABLE ROW LEVEL SECURITY;	-- grading_secure() says who sees it

CREATE TABLE IF NOT EXISTS grading_mirrors (
	session_id uuid PRIMARY KEY,
	refused_at timestamptz NOT NULL DEFAULT now(),
	error      text NOT NULL
);
ALTER TABLE grading_mirrors ENABLE ROW LEVEL SECURITY;

COMMENT ON TABLE grading_channels IS 'ways on which settled work is published';
COMMENT ON COLUMN grading_channels.name IS 'mirror';
COMMENT ON COLUMN grading_channels.caught_up_at IS 'whatever moved before has been carried, or was set aside';
COMMENT ON TABLE grading_mirrors IS 'sessions that live_sessions lets nobody show, and why';
COMMENT ON COLUMN grading_mirrors.refused_at IS 'when that was found first';
COMMENT ON COLUMN grading_mirrors.error IS 'what the application''s trigger, check or policy says';

INSERT INTO grading_migrations (version, name) VALUES (97, '097_publisher.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
