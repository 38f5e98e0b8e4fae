-- For the job c, if it is :of_whole, what its session as a whole is graded by, as one document:
-- grading_whole_source() of functions.sql. Lines of more bytes than :cap are counted, not fetched.
CASE WHEN :of_whole AND c.session_id IS NOT NULL
	THEN grading_whole_source(c.session_id, :cap::int)::text END
