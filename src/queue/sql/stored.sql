-- Lines that an earlier attempt at some jobs has stored already.
PREPARE stored (
	uuid[],		-- $1: the jobs
	uuid[]		-- $2: their sessions
) AS
SELECT job_id, line_index, line_text FROM line_ratings
WHERE session_id = ANY($2::uuid[]) AND job_id = ANY($1::uuid[]);
