-- Which of the sessions that the mirror watches it must look at again: their places from 1, and the
-- number of what wrote their row in live_sessions last, null where none is left.
PREPARE mirror_changes (
	uuid[],		-- $1: sessions,
	bigint[],	-- $2: what wrote their rows there last, as far as the mirror knows,
	bigint[]	-- $3: and those of grading_sessions
) AS
SELECT c.place, c.live_xmin
FROM grading_mirror_changes($1::uuid[], $2::bigint[], $3::bigint[]) AS c;
