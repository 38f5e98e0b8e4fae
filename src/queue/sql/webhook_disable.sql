-- A receiver that wants nothing more (it answered 410): nothing is delivered to it or kept for it,
-- until an operator enables it.
PREPARE webhook_disable (
	text,		-- $1: its name
	text		-- $2: and why
) AS
UPDATE grading_webhooks SET disabled_at = now(), disabled_why = $2::text
WHERE name = $1::text AND disabled_at IS NULL;
