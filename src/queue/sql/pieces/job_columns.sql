-- What claimed_rows.sql needs of a job g.
g.id, g.session_id, g.claim, :times_claimed AS times_claimed, g.attempts, g.max_attempts,
	g.counted_as, g.job_type, g.job_data, g.priority, g.available_at, g.result,
	g.turn
