-- Jobs that have been in processing for too long, by their ids: what reap.sql puts back. Few are in
-- processing at any time; the planner is kept off the primary key, which holds all others.
\set stuck `cat pieces/stuck.sql`

PREPARE stuck (
	bigint,		-- $1: ms that are too long
	uuid,		-- $2: ids from here on
	int		-- $3: so many at most
) AS
WITH stuck AS MATERIALIZED (
	SELECT g.id, g.session_id, g.claim FROM grading_jobs g
	WHERE g.status::text = 'processing' AND :stuck
)
SELECT id, session_id, claim FROM stuck WHERE id >= $2::uuid ORDER BY id LIMIT $3::int;
