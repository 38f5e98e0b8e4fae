-- Fresh lines go into the phrase cache, even if their job moved on; :distinct when a key may come
-- twice.
INSERT INTO phrase_cache AS c (cache_key, phrase, rating, alternatives, reason, context, provenance,
	created_at)
SELECT :distinct cache_key, text, rating, string_to_array(alternatives, :separator), reason,
	context, ($26::jsonb[])[cached_provenance], now()
FROM line WHERE cache_key IS NOT NULL
ORDER BY cache_key
