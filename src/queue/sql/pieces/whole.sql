-- Whether a job of this :job_type and with this :job_data grades its session as a whole, and so is
-- no batch of it. As grading_is_whole() of migrations/functions.sql says it.
CASE WHEN :job_type::text = 'full_grading' THEN (:job_data ? 'transcript'::text) IS NOT TRUE
	ELSE false END
