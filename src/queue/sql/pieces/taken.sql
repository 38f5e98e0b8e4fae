-- Of the jobs of a CTE `judged`, with session_id and whether they are `spent`, those that can be
-- put back now: as far as their session's counters move, nobody else may have its row locked.
-- That is not waited for, and the row is ours then: sessions are locked after jobs, by their ids.
free AS MATERIALIZED (
	SELECT s.session_id FROM grading_sessions s
	WHERE s.session_id = ANY(ARRAY(SELECT session_id FROM judged WHERE spent))
	ORDER BY s.session_id FOR UPDATE SKIP LOCKED
), blocked AS MATERIALIZED (
	SELECT s.session_id FROM grading_sessions s
	WHERE s.session_id = ANY(ARRAY(SELECT session_id FROM judged WHERE spent))
		AND NOT EXISTS (SELECT FROM free WHERE free.session_id = s.session_id)
), taken AS MATERIALIZED (
	SELECT judged.* FROM judged WHERE NOT spent
		OR NOT EXISTS (SELECT FROM blocked WHERE blocked.session_id = judged.session_id)
)
