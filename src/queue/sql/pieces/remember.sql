-- Fresh lines of the jobs that are :still_ours go into the phrase cache; :distinct when a key may
-- come twice. Not of a job that moved on: its session may have been forgotten meanwhile, which has
-- removed all text of it.
INSERT INTO phrase_cache AS c (cache_key, phrase, rating, alternatives, reason, context, provenance,
	created_at)
SELECT :distinct cache_key, text, rating, string_to_array(alternatives, :separator), reason,
	context, ($26::jsonb[])[cached_provenance], now()
FROM line WHERE cache_key IS NOT NULL AND line.job IN (SELECT place FROM :still_ours)
ORDER BY cache_key
