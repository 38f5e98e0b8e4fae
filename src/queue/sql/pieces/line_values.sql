-- The columns of line_ratings from alternatives to given_at, of a line of batch.sql.
string_to_array(alternatives, :separator), reason, coalesce(cached, false), job_id, provenance_id,
	given_at
