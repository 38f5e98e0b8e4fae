-- The rule for a session's counters: everything that counts a job goes through it. The daemon's
-- statements use this text; grading_count() of migrations/functions.sql holds the same one.
--
-- A CTE `moved` says by how much each session moves, a row each, no session_id null: `completed`
-- and `failed` jobs (below zero where a job is counted otherwise than before), `lines` to be rated,
-- `rated` and `skipped` ones; how many numbers of line_ratings.seq are `stored`; as how many
-- `batches` it is announced; when it `started_at`, if it did; and of how many lines a full batch is
-- known to be (`stride`), if it is.
--
-- A counter stops at a thousand millions, so that the sum of two is still an integer, whatever
-- somebody wrote into the row.
--
-- Where something may be taken back, `moved` comes out of taken_back.sql. The greatest() and
-- least() of times: now() is when a transaction began, which is not the order of commits.
INSERT INTO grading_sessions AS s (session_id, total_batches, completed_batches,
	failed_batches, total_lines, rated_lines, skipped_lines, rated_seq, started_at,
	first_rated_at, completed_at, stride)
SELECT m.session_id, greatest(m.batches, m.completed + m.failed), m.completed, m.failed,
	m.lines, m.rated, m.skipped, m.stored, m.started_at,
	CASE WHEN m.stored > 0 THEN now() END,
	CASE WHEN m.completed + m.failed >= greatest(m.batches, 1) THEN now() END, m.stride
FROM moved m
ORDER BY m.session_id
ON CONFLICT (session_id) DO UPDATE SET
	total_batches = greatest(s.total_batches, excluded.total_batches,
		least(s.completed_batches::bigint + s.failed_batches
			+ excluded.completed_batches + excluded.failed_batches, 2147483647))::int,
	completed_batches = least(greatest(s.completed_batches::bigint
		+ excluded.completed_batches, -1000000000), 1000000000)::int,
	failed_batches = least(greatest(s.failed_batches::bigint
		+ excluded.failed_batches, -1000000000), 1000000000)::int,
	total_lines = CASE WHEN s.announced THEN s.total_lines
		ELSE least(greatest(s.total_lines::bigint + excluded.total_lines, 0),
			1000000000)::int END,
	rated_lines = least(greatest(s.rated_lines::bigint
		+ excluded.rated_lines, -1000000000), 1000000000)::int,
	skipped_lines = least(greatest(s.skipped_lines::bigint + excluded.skipped_lines, 0),
		1000000000)::int,
	rated_seq = s.rated_seq + excluded.rated_seq,
	started_at = least(s.started_at, excluded.started_at),
	first_rated_at = least(s.first_rated_at, excluded.first_rated_at),
	completed_at = CASE WHEN s.completed_batches::bigint + s.failed_batches
			+ excluded.completed_batches + excluded.failed_batches
			>= greatest(s.total_batches, excluded.total_batches, 1)
		THEN greatest(s.updated_at, now()) END,
	updated_at = greatest(s.updated_at, now()),
	stride = greatest(s.stride, excluded.stride)
