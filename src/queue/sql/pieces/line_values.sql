-- The columns of line_ratings from alternatives to provenance, of a line of batch.sql.
string_to_array(alternatives, :separator), reason, coalesce(cached, false), job_id,
	($24::jsonb[])[provenance]
