-- Deletes finished jobs that were kept long enough, if it is our turn; the answer is that of
-- queue/chore.h.
\set briefly `cat pieces/briefly.sql`
\set cleaning `cat pieces/cleaning.sql`
\set old_job `cat pieces/old_job.sql`

PREPARE clean_jobs (
	bigint,		-- $1: ms that completed jobs are kept; 0: for ever
	bigint,		-- $2: ms that failed jobs are kept; 0: for ever
	uuid[]		-- $3: the jobs
) AS
WITH asked AS MATERIALIZED (
	SELECT a.* FROM pg_catalog.unnest($3::uuid[]) WITH ORDINALITY AS a(id, place),
		(:briefly) AS locks
	WHERE briefly IS NOT NULL AND (SELECT :cleaning)
), old AS MATERIALIZED (
	SELECT g.id FROM grading_jobs g
	WHERE g.id = ANY(ARRAY(SELECT id FROM asked)) AND :old_job
), taken AS MATERIALIZED (
	SELECT g.id FROM grading_jobs g
	WHERE g.id = ANY(ARRAY(SELECT id FROM old)) AND :old_job
	ORDER BY g.id FOR UPDATE OF g SKIP LOCKED
), gone AS (
	DELETE FROM grading_jobs WHERE id = ANY(ARRAY(SELECT id FROM taken)) RETURNING id
)
SELECT asked.place, CASE WHEN asked.id = ANY(ARRAY(SELECT id FROM gone)) THEN 'done'
	WHEN asked.id = ANY(ARRAY(SELECT id FROM taken)) THEN 'refused' ELSE 'locked' END
FROM asked WHERE asked.id = ANY(ARRAY(SELECT id FROM old));
