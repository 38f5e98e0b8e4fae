-- Removes sessions, or their ratings alone, that have not changed for long enough, from some pages
-- of their table, and says how many rows that were, how many pages the table has, whether it was
-- our turn, and which sessions the database would not have removed, and why. The table is walked
-- through, since an index by age would be paid for with each settlement. A session with an open job
-- stays, and for now one that somebody has locked.
\set cleaning `cat pieces/cleaning.sql`

PREPARE clean_sessions (
	bigint,		-- $1: ms that ratings are kept; 0: for ever
	bigint,		-- $2: ms that sessions are kept; 0: for ever
	bigint,		-- $3: the first page
	bigint		-- $4: and the one behind the last
) AS
WITH turn AS MATERIALIZED (
	SELECT :cleaning AS mine
), old AS MATERIALIZED (
	SELECT s.session_id, $2::bigint > 0::bigint
		AND s.updated_at < now() - make_interval(secs => $2::bigint::double precision
			/ 1000::double precision) AS whole
	FROM grading_sessions s
	WHERE (SELECT mine FROM turn)
		AND s.ctid >= pg_catalog.format('(%s,0)'::text, $3::bigint)::tid
		AND s.ctid < pg_catalog.format('(%s,0)'::text, $4::bigint)::tid
		AND ($2::bigint > 0::bigint AND s.updated_at < now() - make_interval(
				secs => $2::bigint::double precision / 1000::double precision)
			OR $1::bigint > 0::bigint AND s.cleaned_at IS NULL
			AND s.updated_at < now() - make_interval(
				secs => $1::bigint::double precision / 1000::double precision))
		AND NOT EXISTS (
			SELECT FROM grading_jobs g WHERE g.session_id = s.session_id
				AND (g.status::text = 'pending'::text
					OR g.status::text = 'processing'::text) IS TRUE)
	FOR UPDATE SKIP LOCKED
), gone AS MATERIALIZED (
	SELECT g.* FROM (
		SELECT pg_catalog.array_agg(session_id) FILTER (WHERE whole) AS whole,
			pg_catalog.array_agg(session_id) FILTER (WHERE NOT whole) AS ratings
		FROM old HAVING count(*) > 0
	) o CROSS JOIN LATERAL grading_clean_sessions(o.whole, o.ratings) AS g
)
SELECT coalesce(gone.n, 0::bigint),
	pg_relation_size('grading_sessions'::regclass)
		/ current_setting('block_size'::text)::bigint,
	turn.mine, gone.refused, gone.why
FROM turn LEFT JOIN gone ON true;
