-- Completes jobs that hold.sql has locked: what their claim would have written is written with it.
-- Nothing goes into the phrase cache.
\set batch `cat pieces/batch.sql`
\set status '''pending'''
\set as_claimed `cat pieces/as_claimed.sql`
\set claim ', claim = g.claim + 1, claimed_by = $25, started_at = now()'
\set counters `cat pieces/counters.sql`
\set separator `cat pieces/separator.sql`
\set line_values `cat pieces/line_values.sql`
\set complete `cat pieces/complete.sql`

PREPARE complete_held (
	uuid[],		-- $1: jobs: their ids,
	bigint[],	-- $2: the numbers of our claims,
	text[],		-- $3: the new status,
	int[],		-- $4: how many attempts count,
	bigint[],	-- $5: ms before they are available again,
	text[],		-- $6: error,
	int[],		-- $7: result, a document,
	text[],		-- $8: how they were counted,
	int[],		-- $9: as how many their session is announced,
	int[],		-- $10: lines to be rated,
	int[],		-- $11: lines without text,
	int[],		-- $12: and lines that come with this
	int[],		-- $13: lines: the place of their job,
	int[],		-- $14: their own among its lines,
	int[],		-- $15: their index,
	text[],		-- $16: text,
	text[],		-- $17: rating,
	text[],		-- $18: alternatives,
	text[],		-- $19: reason,
	bool[],		-- $20: whether it came from the cache,
	int[],		-- $21: provenance, a document,
	text[],		-- $22: key for the cache,
	text[],		-- $23: and context for the cache
	jsonb[],	-- $24: documents
	text		-- $25: the claimant
) AS
WITH :complete
SELECT place FROM settled;
