-- Says which webhooks this host delivers to, and which want to hear of each step of a session.
PREPARE webhook_register (
	text[],		-- $1: their names
	bool[]		-- $2: and whether they want steps
) AS
SELECT grading_webhooks_register($1::text[], $2::bool[]);
