-- What a settlement gets, as rows: `job` is one job, `line` one line of it. A line names its job by
-- its place among the jobs; its own place is that among the job's lines. Jobs (result) and lines
-- (cached_provenance) refer to the JSON documents $26 by number, lines to their provenance by its
-- id.
job AS MATERIALIZED (
	SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::int[], $5::bigint[],
		$6::text[], $7::int[], $8::text[], $9::int[], $10::int[], $11::int[], $12::int[],
		$30::int[])
	WITH ORDINALITY
	AS j(id, claim, status, attempt, delay_ms, error,
		result, was, batches, lines, skipped, stored, stride, place)
), line AS (
	SELECT * FROM unnest($13::int[], $14::int[], $15::int[], $16::text[], $17::text[],
		$18::text[], $19::text[], $20::bool[], $21::timestamptz[], $22::uuid[],
		$23::text[], $24::text[], $25::int[])
	AS l(job, place, index, text, rating, alternatives,
		reason, cached, given_at, provenance_id, cache_key, context, cached_provenance)
)
