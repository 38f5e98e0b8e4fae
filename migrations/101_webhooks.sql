-- 101: webhooks: who wants to be told when sessions end, and what is still to be told.
--
-- What is to be told is written by triggers on grading_sessions, in the transaction that moves a session's counters, so that
-- neither is without the other, whoever that is: a settlement, the reaper, grading_cancel(), a daemon of another release.
-- Nothing here makes the triggers: grading_webhooks_register() (functions.sql) does, when a publisher that is configured with
-- webhooks starts. Where nobody wants to be told they are not there, and a settlement costs what it did.

SET lock_timeout = '5s';
SET client_min_messages = warning;

-- No address and no secret: these are in the configuration of the hosts that deliver.
CREATE TABLE IF NOT EXISTS grading_webhooks (
	name           text PRIMARY KEY,
	steps          boolean NOT NULL DEFAULT false,
	seen_at        timestamptz NOT NULL DEFAULT now(),
	disabled_at    timestamptz,
	disabled_why   text
);
ALTER TABLE grading_webhooks ENABLE ROW LEVEL SECURITY;	-- grading_secure() says who sees it

COMMENT ON TABLE grading_webhooks IS 'the webhooks that daemons are configured with, by their names';
COMMENT ON COLUMN grading_webhooks.steps IS 'it is told of each step of a session as well, not of its end alone';
COMMENT ON COLUMN grading_webhooks.seen_at IS 'when a daemon last said that it delivers to it; after a week without, nothing new is kept for it';
COMMENT ON COLUMN grading_webhooks.disabled_at IS 'when it answered 410, or an operator disabled it: nothing is delivered or kept for it';

CREATE TABLE IF NOT EXISTS grading_webhook_outbox (
	id             uuid PRIMARY KEY,
	hook           text NOT NULL,
	session_id     uuid NOT NULL,
	type           text NOT NULL,
	data           jsonb NOT NULL,
	state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
	attempts       integer NOT NULL DEFAULT 0,
	next_at        timestamptz NOT NULL DEFAULT now(),
	created_at     timestamptz NOT NULL DEFAULT now(),
	tried_since    timestamptz NOT NULL DEFAULT now(),
	ended_at       timestamptz,
	response       integer,
	error          text
) WITH (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE grading_webhook_outbox ENABLE ROW LEVEL SECURITY;

COMMENT ON TABLE grading_webhook_outbox IS 'one row a message to a webhook; written in the transaction that moved the session';
COMMENT ON COLUMN grading_webhook_outbox.id IS 'the webhook-id header: the same each time that it is sent';
COMMENT ON COLUMN grading_webhook_outbox.data IS 'the message''s data; the ratings are counted when it is first sent';
COMMENT ON COLUMN grading_webhook_outbox.next_at IS 'when it is due, or while it is being sent, until when nobody else sends it';
COMMENT ON COLUMN grading_webhook_outbox.tried_since IS 'webhooks.give_up_after counts from here';

-- What is due, a receiver after the other.
CREATE INDEX IF NOT EXISTS grading_webhook_outbox_due ON grading_webhook_outbox (hook, next_at)
	WHERE state = 'waiting';
-- What is over: for the cleaning, and for `gradingctl webhooks`.
CREATE INDEX IF NOT EXISTS grading_webhook_outbox_over ON grading_webhook_outbox (state, ended_at)
	WHERE state <> 'waiting';
-- Steps that a later message of their session makes needless; what goes with a session that is forgotten.
CREATE INDEX IF NOT EXISTS grading_webhook_outbox_session ON grading_webhook_outbox (session_id);

INSERT INTO grading_migrations (version, name) VALUES (101, '101_webhooks.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
