-- Writes down why the application's table refuses a session, or that it does so no more.
PREPARE mirror_refused (
	uuid,		-- $1: the session
	text		-- $2: why; '': it was taken
) AS
WITH gone AS (
	DELETE FROM grading_mirrors WHERE session_id = $1::uuid AND $2::text = ''
)
INSERT INTO grading_mirrors AS m (session_id, error)
SELECT $1::uuid, $2::text WHERE $2::text <> ''
ON CONFLICT (session_id) DO UPDATE SET error = excluded.error;
