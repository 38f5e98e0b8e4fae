-- The provenances that may not be stored yet: their ids $27, and the number of each among the
-- documents $26. The CTE of this comes before all others that nothing reads, so that it runs last:
-- who waits here for another's row has all its locks, and whom it waits for needs none of them.
INSERT INTO grading_provenance (id, document)
SELECT id, ($26::jsonb[])[document] FROM unnest($27::uuid[], $28::int[]) AS p(id, document)
ORDER BY id
ON CONFLICT DO NOTHING
