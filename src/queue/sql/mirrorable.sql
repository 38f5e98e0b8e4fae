-- Whether the application has a table live_sessions that shows a session's progress: with a key and
-- a column of the kinds that the mirror writes by (grading_mirror() of migrations/functions.sql).
PREPARE mirrorable AS
SELECT count(*) = 2 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attrelid = to_regclass('live_sessions')::oid AND c.relkind IN ('r', 'p')
	AND NOT a.attisdropped AND (a.attname = 'id' AND a.atttypid = 'uuid'::regtype
		OR a.attname = 'analytics' AND a.atttypid = 'jsonb'::regtype);
