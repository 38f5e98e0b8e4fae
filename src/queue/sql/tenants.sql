-- The numbers of tenants that have a share of their own, by their places from 1 on; whoever has
-- none gets one. Of a tenant that another host is writing down just now there is none yet.
PREPARE tenants (
	text[]		-- $1: their names
) AS
WITH asked AS MATERIALIZED (
	SELECT u.tenant, u.place FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS u(tenant, place)
), known AS MATERIALIZED (
	SELECT t.tenant, t.number FROM grading_tenants t WHERE t.tenant = ANY($1::text[])
), made AS (
	INSERT INTO grading_tenants (tenant)
	SELECT asked.tenant FROM asked WHERE asked.tenant <> ALL(ARRAY(SELECT known.tenant FROM known))
	ORDER BY asked.tenant ON CONFLICT DO NOTHING
	RETURNING tenant, number
)
SELECT asked.place, numbered.number::int
FROM asked JOIN (SELECT * FROM known UNION ALL SELECT * FROM made) AS numbered
	ON numbered.tenant = asked.tenant
ORDER BY asked.place;
