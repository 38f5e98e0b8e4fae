-- Completes jobs for the first time; see pieces/complete.sql.
\set batch `cat pieces/batch.sql`
\set status '''processing'''
\set as_claimed_by `cat pieces/as_claimed.sql`
\set as_claimed ':as_claimed_by AND g.claimed_by = $29'
\set claim ''
\set counters `cat pieces/counters.sql`
\set separator `cat pieces/separator.sql`
\set line_values `cat pieces/line_values.sql`
\set provenances `cat pieces/provenances.sql`
\set complete `cat pieces/complete.sql`
\set distinct ''
\set still_ours 'settled'
\set remember `cat pieces/remember.sql`
\set settled_places `cat pieces/settled_places.sql`

PREPARE complete (
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
	timestamptz[],	-- $21: when the rater gave it, if it did,
	uuid[],		-- $22: id of its provenance,
	text[],		-- $23: key for the cache,
	text[],		-- $24: context for the cache,
	int[],		-- $25: and provenance for the cache, a document
	jsonb[],	-- $26: documents
	uuid[],		-- $27: provenances that may not be stored yet: their ids,
	int[],		-- $28: and documents
	text,		-- $29: the claimant
	int[]		-- $30: jobs: lines in a full batch of their session, or null
) AS
WITH :complete, remembered AS (
	:remember
)
:settled_places;
