-- Shows a session in the application's table; see grading_mirror() of migrations/functions.sql.
PREPARE mirror (
	uuid,		-- $1: the session
	text		-- $2: the form of its status that the table took last time; or null
) AS
SELECT m.outcome, m.over, m.live_xmin, m.counted_xmin, m.used, m.status
FROM grading_mirror($1::uuid, $2::text) AS m;
