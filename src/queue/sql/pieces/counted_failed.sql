-- What taken_back.sql needs, of jobs that a CTE `put` put back or made "failed"; its columns are
-- session_id, status, `was`, how the job was counted before, and whether it is `whole`: no batch.
SELECT session_id, 0 AS batches,
	-(count(*) FILTER (WHERE was IS NOT DISTINCT FROM 'completed'))::int AS completed,
	count(*) FILTER (WHERE was IS DISTINCT FROM 'failed')::int AS failed,
	0 AS lines, 0 AS rated, 0 AS skipped, 0 AS stored, now() AS started_at,
	NULL::int AS stride
FROM put WHERE status::text = 'failed' AND session_id IS NOT NULL AND NOT whole
GROUP BY session_id
