-- Jobs that dead workers held, by their ids, and who is to blame: what recover.sql puts back. In
-- hand is the job that the CPU was inside of, or else the only one that was being rated. Its
-- attempt counts if the worker died of itself inside of it, and if it is the only job left, however
-- the worker ended. A job whose rating was over, and which is left alone because the database
-- refuses its settlement, is not to blame; so where nobody saw a worker's end, its only job is a
-- suspect as if the CPU had been inside of it, and no more. Who was not charged goes free where the
-- CPU was inside of another one, and else is a suspect (pieces/suspected.sql). How many jobs a
-- worker had is counted once, before the first of them is put back; from then on the caller knows.
-- Only a job that is still under the claim by which the dead one had it in hand is charged: another
-- one may have its id by now. One that was held by a lock alone (loose) has no claimant; several
-- may have died in it.
\set death_in_hand `cat pieces/death_in_hand.sql`

PREPARE left_behind (
	text[],		-- $1: dead workers: their identities,
	uuid[],		-- $2: the job that it had in hand, or null,
	bigint[],	-- $3: the number of the claim by which it had that,
	bool[],		-- $4: whether its CPU was inside of that; null: nobody saw its end,
	bool[],		-- $5: whether it was killed from outside,
	int[],		-- $6: and how many jobs it had, or null
	uuid,		-- $7: ids from here on
	int		-- $8: so many at most
) AS
WITH dead AS MATERIALIZED (
	SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bool[], $5::bool[],
			$6::int[])
		WITH ORDINALITY AS d(identity, in_hand, claim, inside, outside, had, place)
), held AS MATERIALIZED (
	SELECT d.place, g.id, g.session_id, g.claim, d.inside, d.outside,
		coalesce(d.in_hand = g.id AND d.claim = g.claim, false) AS it,
		coalesce(d.had, (count(*) OVER (PARTITION BY d.identity))::int) AS had
	FROM grading_jobs g JOIN dead d ON g.claimed_by = d.identity
	WHERE g.status::text = 'processing'
), left_behind AS (
	SELECT place, id, session_id, claim, had, false AS loose,
		(it AND (had = 1 OR inside IS TRUE AND NOT outside))::int AS guilt,
		CASE WHEN it AND inside OR inside IS NULL AND had = 1 THEN :death_in_hand
			WHEN inside THEN 0 ELSE 1 END AS weight
	FROM held
	UNION ALL
	SELECT max(d.place), g.id, g.session_id, g.claim, 0, true,
		(count(*) FILTER (WHERE NOT d.outside))::int,
		:death_in_hand * (count(*) FILTER (WHERE d.outside))::int
	FROM grading_jobs g JOIN dead d ON d.in_hand = g.id AND d.claim = g.claim AND d.inside
	WHERE g.id = ANY($2::uuid[]) AND g.status::text IS NOT DISTINCT FROM 'pending'
	GROUP BY g.id
)
SELECT place, id, session_id, claim, had, loose, guilt, weight FROM left_behind
WHERE id >= $7::uuid ORDER BY id LIMIT $8::int;
