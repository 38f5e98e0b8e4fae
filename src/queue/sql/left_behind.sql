-- Jobs that dead workers held, by their ids, and who is to blame: what recover.sql puts back. The
-- only job that there was is to blame, however the worker ended, unless another was in hand
-- (which has moved on since), and else the one in hand if it died of itself: its attempt counts.
-- Where that is known the others go free. Else they are suspects (pieces/suspected.sql). How many
-- jobs a worker had is counted once, before the first of them is put back; from then on the
-- caller knows. Only a job that is still under the claim by which the dead one had it in hand is
-- charged: another one may have its id by now. One that was held by a lock alone (loose) has no
-- claimant; several may have died in it.
\set death_in_hand `cat pieces/death_in_hand.sql`

PREPARE left_behind (
	text[],		-- $1: dead workers: their identities,
	uuid[],		-- $2: the job that it had in hand, or null,
	bigint[],	-- $3: the number of the claim by which it had that,
	bool[],		-- $4: whether it was killed from outside,
	int[],		-- $5: and how many jobs it had, or null
	uuid,		-- $6: ids from here on
	int		-- $7: so many at most
) AS
WITH dead AS MATERIALIZED (
	SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bool[], $5::int[])
		WITH ORDINALITY AS d(identity, in_hand, claim, outside, had, place)
), held AS MATERIALIZED (
	SELECT d.place, g.id, g.session_id, g.claim, d.outside, d.in_hand,
		coalesce(d.in_hand = g.id AND d.claim = g.claim, false) AS in_it,
		coalesce(d.had, (count(*) OVER (PARTITION BY d.identity))::int) AS had
	FROM grading_jobs g JOIN dead d ON g.claimed_by = d.identity
	WHERE g.status = 'processing'
), left_behind AS (
	SELECT place, id, session_id, claim, had, false AS loose,
		(had = 1 AND in_hand IS NULL OR in_it AND (NOT outside OR had = 1))::int AS guilt,
		CASE WHEN in_hand IS NULL THEN 1 WHEN in_it THEN :death_in_hand
			ELSE 0 END AS weight
	FROM held
	UNION ALL
	SELECT max(d.place), g.id, g.session_id, g.claim, 0, true,
		(count(*) FILTER (WHERE NOT d.outside))::int,
		:death_in_hand * (count(*) FILTER (WHERE d.outside))::int
	FROM grading_jobs g JOIN dead d ON d.in_hand = g.id AND d.claim = g.claim
	WHERE g.id = ANY($2::uuid[]) AND g.status IS NOT DISTINCT FROM 'pending'
	GROUP BY g.id
)
SELECT place, id, session_id, claim, had, loose, guilt, weight FROM left_behind
WHERE id >= $6::uuid ORDER BY id LIMIT $7::int;
