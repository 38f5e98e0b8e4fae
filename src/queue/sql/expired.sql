-- Expired entries in some pages of the phrase cache, by where they lie: what clean_cache.sql
-- deletes. The table is walked through, since an index by age would be paid for with each entry.
-- And how many pages the table has; at least one row, of nulls else.
PREPARE expired (
	bigint,		-- $1: ms that an entry lives
	text,		-- $2: the first place, as a tid,
	bigint,		-- $3: and the page behind the last
	int		-- $4: so many at most
) AS
SELECT pages.n, entry.place, entry.key
FROM (SELECT pg_relation_size('phrase_cache'::regclass)
	/ current_setting('block_size'::text)::bigint AS n) AS pages
LEFT JOIN (
	SELECT c.ctid::text AS place, left(c.cache_key::text, 200) AS key FROM phrase_cache c
	WHERE c.ctid >= $2::text::tid AND c.ctid < pg_catalog.format('(%s,0)', $3::bigint)::tid
		AND c.created_at < now() - interval '1 ms' * $1::bigint::float8
	LIMIT $4::int
) AS entry ON true;
