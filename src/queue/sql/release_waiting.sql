-- Of these sessions, those that have no open batch any more: the jobs that wait to grade one as a
-- whole are due. Who holds one is about to look by itself. A job that is put back for another
-- reason than its session keeps its pause.
\set job_type 'w.job_type'
\set job_data 'w.job_data'
\set of_whole `cat pieces/whole.sql`

PREPARE release_waiting (
	uuid[]		-- $1: the sessions
) AS
UPDATE grading_jobs g SET available_at = now(), updated_at = now()
WHERE g.id = ANY(ARRAY(
	SELECT w.id FROM grading_jobs w
	WHERE w.session_id = ANY($1::uuid[])
		AND (w.status::text = 'pending'::text OR w.status::text = 'processing'::text) IS TRUE
		AND w.status::text IS NOT DISTINCT FROM 'pending' AND w.available_at > now()
		AND :of_whole AND w.result ? 'waiting'::text
		AND NOT EXISTS (
			SELECT FROM grading_jobs b WHERE b.session_id = w.session_id
				AND (b.status::text = 'pending'::text
					OR b.status::text = 'processing'::text) IS TRUE
				AND (b.job_type::text <> 'full_grading'
					OR b.job_data ? 'transcript'::text))
	ORDER BY w.id FOR UPDATE OF w SKIP LOCKED))
RETURNING g.session_id;
