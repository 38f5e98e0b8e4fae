-- Puts back jobs of claims whose answer was lost, as lost.sql has found them.
\set briefly `cat pieces/briefly.sql`
\set still_there 'g.status::text IS NOT DISTINCT FROM ''processing'' AND g.claimed_by = $1'
\set outcomes `cat pieces/outcomes.sql`

PREPARE release_lost (
	text,		-- $1: the claimant
	uuid[],		-- $2: jobs: their ids,
	bigint[]	-- $3: and the claims that were lost
) AS
WITH asked AS MATERIALIZED (
	SELECT a.* FROM unnest($2::uuid[], $3::bigint[]) WITH ORDINALITY AS a(id, claim, place),
		(:briefly) AS locks WHERE briefly IS NOT NULL
), taken AS MATERIALIZED (
	SELECT g.id, asked.place
	FROM grading_jobs g JOIN asked ON g.id = asked.id AND g.claim = asked.claim
	WHERE g.id = ANY(ARRAY(SELECT id FROM asked)) AND :still_there
	ORDER BY g.id FOR UPDATE OF g SKIP LOCKED
), put AS (
	UPDATE grading_jobs g SET status = 'pending', claimed_by = NULL, updated_at = now()
	FROM taken WHERE g.id = taken.id AND g.id = ANY(ARRAY(SELECT id FROM taken))
	RETURNING g.status, taken.place
)
:outcomes;
