-- What is due of one priority between two places, in the order of claims, whoever has it: where it
-- stands, and whether it is large (worker/walk.h).
\set place `cat pieces/place.sql`
\set stored_bytes `cat pieces/stored_bytes.sql`
\set large `cat pieces/large.sql`

PREPARE walk (
	int,		-- $1: so many jobs at most
	bigint,		-- $2: their priority
	timestamptz,	-- $3: the available_at of the first place,
	uuid,		-- $4: and its id
	timestamptz,	-- $5: the available_at of the place behind the last,
	uuid		-- $6: and its id
) AS
SELECT :place, :stored_bytes >= :large
FROM grading_jobs g
WHERE g.status::text = 'pending' AND g.available_at <= now() AND g.priority = $2::bigint
	AND (g.available_at, g.id) >= ($3::timestamptz, $4::uuid)
	AND (g.available_at, g.id) < ($5::timestamptz, $6::uuid)
ORDER BY g.available_at, g.id LIMIT $1::int;
