-- What is due of one class (queue/turns.h) between two places, in the order of claims, whoever has
-- it: where it stands, and whether it is large (worker/walk.h).
\set place `cat pieces/place.sql`
\set stored_bytes `cat pieces/stored_bytes.sql`
\set large `cat pieces/large.sql`

PREPARE walk (
	int,		-- $1: so many jobs at most
	bigint,		-- $2: their priority
	int,		-- $3: and turn
	timestamptz,	-- $4: the available_at of the first place,
	uuid,		-- $5: and its id
	timestamptz,	-- $6: the available_at of the place behind the last,
	uuid		-- $7: and its id
) AS
SELECT :place, :stored_bytes >= :large
FROM grading_jobs g
WHERE g.status::text = 'pending' AND g.available_at <= now() AND g.priority = $2::bigint
	AND g.turn = $3::int AND (g.available_at, g.id) >= ($4::timestamptz, $5::uuid)
	AND (g.available_at, g.id) < ($6::timestamptz, $7::uuid)
ORDER BY g.available_at, g.id LIMIT $1::int;
