-- Writes down what the functions for applications go by of the daemon's configuration. What is the
-- same already is left alone.
PREPARE settings (
	text[],		-- $1: the keys,
	jsonb[]		-- $2: and their values
) AS
INSERT INTO grading_settings AS s (name, value)
SELECT u.name, u.value FROM unnest($1::text[], $2::jsonb[]) AS u(name, value) ORDER BY u.name
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = now()
WHERE s.value <> excluded.value;
