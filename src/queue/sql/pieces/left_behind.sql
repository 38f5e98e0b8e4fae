-- The job g is as its dead worker left it: `asked` says how that held it, and under which claim.
g.status::text IS NOT DISTINCT FROM CASE WHEN asked.loose THEN 'pending' ELSE 'processing' END
