-- What counters.sql needs, of a CTE `counted` with the same columns, in which numbers may be below
-- zero. Where a session's row is gone, what is taken back was counted in the one that somebody
-- deleted. Not EXISTS, for which a plan may read the table whole; OFFSET 0, so that it is asked
-- once.
SELECT c.session_id, c.batches, greatest(c.completed, c.bound) AS completed,
	greatest(c.failed, c.bound) AS failed, greatest(c.lines, c.bound) AS lines,
	c.rated, greatest(c.skipped, c.bound) AS skipped, c.stored, c.started_at,
	c.stride
FROM (
	SELECT counted.*, CASE WHEN least(counted.completed, counted.failed,
			counted.lines, counted.skipped) < 0
		AND (SELECT true FROM grading_sessions there
			WHERE there.session_id = counted.session_id) IS NULL
		THEN 0 ELSE -2147483647 END AS bound
	FROM counted OFFSET 0
) AS c
