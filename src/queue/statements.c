/*
 * Every statement the daemon runs. Each is one short transaction by itself, so it works behind a
 * transaction pooler, and none is open while a rater works; but for `begin` to `commit`, which enclose a claim
 * and its settlement, on a connection of our own and with a rater that answers at once. Locks are taken in one order everywhere:
 * grading_jobs, then phrase_cache by key (a statement's last data-modifying CTE that nothing reads runs
 * first), then grading_sessions by id, then line_ratings by key; phrase_flights by key, and nothing after it.
 * Rows are named by = ANY(array) also where a join would say it: for a plan made while the tables were
 * empty, to read them whole looks as cheap as to look a row up, and that plan may stay. now() is when a
 * transaction began, not in the order of commits: hence least() and greatest() for the times of a session.
 * Times are set and compared by the database's clock alone.
 */
#include "queue/statements.h"

/* Alternatives travel as one text: an array of arrays has no ragged edge. No rating holds this character. */
#define ALTERNATIVES_SEPARATOR "E'\\x1f'"	/* as in queue.c */

/*
 * Up to $1 jobs by priority, then age. $3-$6 are the claim floors (floor.h), highest priority first: of each
 * the scan begins at its floor; what lies between two known priorities ($4: the known one above) is looked
 * through from the start; the last row, with no priority, stands for all below. No floor is nearer than $7 ms. $8 are
 * left alone.
 * `columns` are of g.
 */
#define DUE(columns) \
	"SELECT due.* FROM unnest($3::bigint[], $4::bigint[], $5::timestamptz[], $6::uuid[])" \
	"  AS floor(priority, above, available_at, id) CROSS JOIN LATERAL (" \
	"  SELECT * FROM (SELECT " columns " FROM grading_jobs g WHERE g.status = 'pending'" \
	"    AND g.available_at <= now() AND g.priority > floor.priority AND g.priority < floor.above AND g.id <> ALL($8::uuid[])" \
	"    ORDER BY g.priority DESC, g.available_at, g.id LIMIT $1::int FOR UPDATE SKIP LOCKED) AS unknown" \
	"  UNION ALL" \
	"  SELECT * FROM (SELECT " columns " FROM grading_jobs g WHERE g.status = 'pending'" \
	"    AND g.available_at <= now() AND g.priority = floor.priority AND g.id <> ALL($8::uuid[])" \
	"    AND (g.available_at, g.id) >=" \
	"      (least(floor.available_at, now() - $7::bigint * interval '1 ms'), floor.id)" \
	"    ORDER BY g.available_at, g.id LIMIT $1::int FOR UPDATE SKIP LOCKED) AS known) AS due" \
	" LIMIT $1::int"

#define JOB_COLUMNS \
	"g.id, g.session_id, g.claim, g.attempts, g.max_attempts, g.counted_as, g.job_type, g.job_data, g.priority," \
	" g.available_at, g.result"

/*
 * The jobs of a CTE `claimed` as queue_claimed_row() reads them; job_data above $2 bytes is not fetched. What is
 * huge (|| makes a copy that is not compressed, so its size is the true one) is not even turned into text,
 * which has a limit of 1 GB. The result of earlier attempts comes along, so that the next one can add to
 * what they took.
 */
#define CLAIMED_ROWS(from) \
	"SELECT c.id, c.session_id, c.claim, coalesce(c.attempts, 0), coalesce(c.max_attempts, 3), c.counted_as," \
	"  c.job_type, c.priority, c.available_at," \
	"  CASE WHEN t.data IS NULL THEN pg_column_size(c.job_data || '{}') ELSE octet_length(t.data) END::bigint," \
	"  CASE WHEN octet_length(t.data) <= $2::int THEN t.data END," \
	"  CASE WHEN jsonb_typeof(c.result) = 'object' AND pg_column_size(c.result) < 8192" \
	"    THEN (c.result - 'unrated')::text END" \
	" FROM " from "claimed c LEFT JOIN LATERAL (SELECT CASE WHEN pg_column_size(c.job_data) < 8192" \
	"   OR pg_column_size(c.job_data || '{}') <= 16777216 THEN c.job_data::text END AS data OFFSET 0) t ON true" \
	" ORDER BY c.priority DESC, c.available_at, c.id"

#define CLAIM \
	"WITH claimed AS (" \
	"  UPDATE grading_jobs g SET status = 'processing', claim = g.claim + 1, claimed_by = $9," \
	"    started_at = now(), updated_at = now()" \
	"  WHERE g.id = ANY(ARRAY(" DUE("g.id") "))" \
	"  RETURNING " JOB_COLUMNS

/* Claims for $9. A session's first claim opens its row, so that a front end sees "processing". */
static const char claim_sql[] =
	CLAIM
	"), opened AS ("
	"  INSERT INTO grading_sessions (session_id, total_batches, started_at)"
	"  SELECT c.session_id, max(CASE WHEN jsonb_typeof(c.job_data -> 'totalBatches') = 'number'"
	"    THEN least(greatest((c.job_data ->> 'totalBatches')::numeric, 0), 1000000)::int ELSE 0 END), now()"
	"  FROM claimed c WHERE c.session_id IS NOT NULL GROUP BY c.session_id ORDER BY c.session_id"
	"  ON CONFLICT DO NOTHING"
	"), begun AS ("
	"  UPDATE grading_sessions SET started_at = now() WHERE session_id = ANY(ARRAY("
	"    SELECT session_id FROM grading_sessions WHERE started_at IS NULL"
	"      AND session_id = ANY(ARRAY(SELECT session_id FROM claimed))"
	"    ORDER BY session_id FOR UPDATE SKIP LOCKED)))"
	CLAIMED_ROWS("");

/*
 * The same for a rater that answers at once: a front end would see "processing" for an instant only, so the
 * settlement opens the session's row. And the commit's flush is not waited for: to lose it in a crash of the server
 * loses no job (it is pending again, and settlements ask for the claimant's name beside the claim's number), only
 * what was spent on it meanwhile.
 */
static const char claim_briefly_sql[] =
	CLAIM
	") " CLAIMED_ROWS("(SELECT set_config('synchronous_commit', 'off', true)) AS no_wait, ");

/*
 * A claim that is held by the locks of its rows and never written down: between begin and commit, and settled by
 * complete_held_sql. Whatever goes wrong in between, nothing has happened. For a rater that answers at once, since
 * the transaction is open meanwhile (claim_txn.c).
 */
static const char hold_sql[] = "WITH claimed AS MATERIALIZED (" DUE(JOB_COLUMNS) ") " CLAIMED_ROWS("");

/* Which of the keys $1 the phrase cache knows, no older than $2 ms. */
static const char lookup_sql[] =
	"SELECT cache_key, rating, array_to_string(alternatives, " ALTERNATIVES_SEPARATOR "), reason, provenance::text"
	" FROM phrase_cache"
	" WHERE cache_key = ANY($1::text[]) AND now() - created_at < $2::bigint * interval '1 ms'";

/*
 * Single flight: of the keys $1 the asker $2 gets those that nobody asks about and that the cache ($4 ms) does
 * not know, for $3 ms; true. False: asking about it has just failed somebody, so whoever wants may ask. The other
 * keys are being asked about by others. The snapshot is taken before a row may be waited for: the caller looks
 * into the cache once more afterwards, with one that is newer than the rows it got.
 */
static const char fly_sql[] =
	"WITH flying AS MATERIALIZED ("
	"  SELECT cache_key, asker FROM phrase_flights"
	"  WHERE cache_key = ANY($1::text[]) AND until > now() AND asker <> $2"
	"), taken AS ("
	"  INSERT INTO phrase_flights AS f (cache_key, asker, until)"
	"  SELECT key, $2, now() + $3::bigint * interval '1 ms' FROM unnest($1::text[]) AS key"
	"  WHERE key NOT IN (SELECT cache_key FROM flying)"
	"   AND key NOT IN (SELECT cache_key FROM phrase_cache WHERE cache_key = ANY($1::text[])"
	"    AND now() - created_at < $4::bigint * interval '1 ms')"
	"  ORDER BY key COLLATE \"C\""
	"  ON CONFLICT (cache_key) DO UPDATE SET asker = excluded.asker, until = excluded.until"
	"   WHERE f.until <= now() OR f.asker = excluded.asker"
	"  RETURNING f.cache_key)"
	"SELECT cache_key, true FROM taken UNION ALL SELECT cache_key, false FROM flying WHERE asker = ''";

/* The keys $1 stay with the asker $2 for $3 ms more, as far as it still has them. */
static const char stay_aloft_sql[] =
	"UPDATE phrase_flights SET until = now() + $3::bigint * interval '1 ms' WHERE cache_key = ANY(ARRAY("
	"  SELECT cache_key FROM phrase_flights WHERE cache_key = ANY($1::text[]) AND asker = $2"
	"  ORDER BY cache_key FOR UPDATE))";

/* The asker $1 asks no longer: about $2, or about $3, which for $4 ms everybody may ask about at once. */
static const char land_sql[] =
	"WITH ours AS MATERIALIZED ("
	"  SELECT cache_key FROM phrase_flights WHERE cache_key = ANY($2::text[] || $3::text[]) AND asker = $1"
	"  ORDER BY cache_key FOR UPDATE"
	"), failed AS ("
	"  UPDATE phrase_flights SET asker = '', until = now() + $4::bigint * interval '1 ms'"
	"  WHERE cache_key = ANY(ARRAY(SELECT cache_key FROM ours WHERE cache_key IN (SELECT unnest($3::text[])))))"
	"DELETE FROM phrase_flights"
	" WHERE cache_key = ANY(ARRAY(SELECT cache_key FROM ours WHERE cache_key NOT IN (SELECT unnest($3::text[]))))";

/* Lines that an earlier attempt at the jobs $1 (of the sessions $2) has stored already. */
static const char stored_sql[] =
	"SELECT job_id, line_index, line_text FROM line_ratings"
	" WHERE session_id = ANY($2::uuid[]) AND job_id = ANY($1::uuid[])";

/*
 * What both settlements begin with. $1-$12 are arrays with an item a job, $13-$23 arrays with an item a
 * line (`job` is its job's place among the jobs, `place` its own among that job's lines), $24 the JSON
 * documents that jobs (result) and lines (provenance) refer to by number, $25 the claimant, $26 (settle_sql's) the
 * cache's lifetime in ms.
 */
#define BATCH \
	"WITH job AS MATERIALIZED (" \
	"  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::int[], $5::bigint[], $6::text[]," \
	"    $7::int[], $8::text[], $9::int[], $10::int[], $11::int[], $12::int[]) WITH ORDINALITY" \
	"  AS j(id, claim, status, attempt, delay_ms, error, result, was, batches, lines, skipped, stored, place)" \
	"), line AS (" \
	"  SELECT * FROM unnest($13::int[], $14::int[], $15::int[], $16::text[], $17::text[], $18::text[]," \
	"    $19::text[], $20::bool[], $21::int[], $22::text[], $23::text[])" \
	"  AS l(job, place, index, text, rating, alternatives, reason, cached, provenance, cache_key, context)"

/* IS NOT DISTINCT FROM keeps the planner off the index of processing rows and its dead entries. */
#define IS_AS_CLAIMED(status) \
	"g.id = ANY($1::uuid[]) AND g.id = job.id AND g.claim = job.claim AND g.status IS NOT DISTINCT FROM '" status "'"
#define IS_OURS IS_AS_CLAIMED("processing") " AND g.claimed_by = $25"

#define LINE_VALUES \
	"string_to_array(alternatives, " ALTERNATIVES_SEPARATOR "), reason, coalesce(cached, false), job_id," \
	" ($24::jsonb[])[provenance]"

#define REMEMBER(distinct) \
	"  INSERT INTO phrase_cache AS c (cache_key, phrase, rating, alternatives, reason, context, provenance," \
	"    created_at)" \
	"  SELECT " distinct " cache_key, text, rating, string_to_array(alternatives, " ALTERNATIVES_SEPARATOR ")," \
	"    reason, context, ($24::jsonb[])[provenance], now() FROM line WHERE cache_key IS NOT NULL" \
	"  ORDER BY cache_key"

/* The places of the jobs that are settled; one sent twice counts as settled, too. */
#define SETTLED_PLACES \
	"SELECT place FROM settled UNION ALL" \
	" SELECT job.place FROM job JOIN grading_jobs g ON g.id = ANY($1::uuid[]) AND g.id = job.id AND g.claim = job.claim" \
	"   AND g.status = job.status AND job.status <> 'processing'" \
	"  WHERE (SELECT count(*) FROM settled) < cardinality($1::uuid[])" \
	"   AND NOT EXISTS (SELECT FROM settled WHERE settled.place = job.place)"

/*
 * Completes jobs none of which was ever settled before, with all their lines: what nearly every settlement
 * is. It takes for granted what settle_sql below asks about, and is refused as a whole where that is wrong
 * (a line or a phrase is there already: their primary keys); the caller then sends the same values to settle_sql.
 * Counters and lines only of jobs still under our claim. `more` columns of a job are set.
 */
#define COMPLETE(more, is_ours) \
	BATCH \
	"), settled AS (" \
	"  UPDATE grading_jobs g SET status = 'completed', result = ($24::jsonb[])[job.result], error = NULL, updated_at = now()," \
	"    completed_at = now(), failed_at = NULL, counted_as = 'completed'" more \
	"  FROM job WHERE " is_ours " AND g.counted_as IS NULL" \
	"  RETURNING g.id, g.session_id, job.place, job.batches, job.lines, job.skipped, job.stored" \
	"), moved AS MATERIALIZED (" \
	"  SELECT session_id, count(*)::int AS completed, max(batches) AS batches, sum(lines)::int AS lines," \
	"    sum(skipped)::int AS skipped, sum(stored)::int AS stored" \
	"  FROM settled GROUP BY session_id ORDER BY session_id" \
	"), session AS (" \
	"  INSERT INTO grading_sessions AS s (session_id, total_batches, completed_batches, total_lines, rated_lines," \
	"    skipped_lines, rated_seq, started_at, first_rated_at, completed_at)" \
	"  SELECT session_id, greatest(batches, completed), completed, lines, stored, skipped, stored, now()," \
	"    CASE WHEN stored > 0 THEN now() END," \
	"    CASE WHEN completed >= greatest(batches, 1) THEN now() END" \
	"  FROM moved ORDER BY session_id" \
	"  ON CONFLICT (session_id) DO UPDATE SET" \
	"    total_batches = greatest(s.total_batches, excluded.total_batches," \
	"      s.completed_batches + s.failed_batches + excluded.completed_batches)," \
	"    completed_batches = s.completed_batches + excluded.completed_batches," \
	"    total_lines = CASE WHEN s.announced THEN s.total_lines ELSE s.total_lines + excluded.total_lines END," \
	"    rated_lines = s.rated_lines + excluded.rated_lines," \
	"    skipped_lines = s.skipped_lines + excluded.skipped_lines," \
	"    rated_seq = s.rated_seq + excluded.rated_seq, started_at = least(s.started_at, now())," \
	"    first_rated_at = least(s.first_rated_at, excluded.first_rated_at)," \
	"    completed_at = CASE WHEN s.completed_batches + s.failed_batches + excluded.completed_batches" \
	"      >= greatest(s.total_batches, excluded.total_batches, 1) THEN greatest(s.updated_at, now()) END," \
	"    updated_at = greatest(s.updated_at, now())" \
	"  RETURNING s.session_id, s.rated_seq" \
	"), placed AS MATERIALIZED (" /* seq: before the job's first line; rated_seq is the session's last */ \
	"  SELECT id AS job_id, session_id, place, rated_seq - sum(stored) OVER (PARTITION BY session_id)" \
	"    + sum(stored) OVER (PARTITION BY session_id ORDER BY place) - stored AS seq" \
	"  FROM settled LEFT JOIN session USING (session_id)" \
	"), rated AS (" \
	"  INSERT INTO line_ratings (session_id, line_index, line_text, rating, alternatives, reason, cached," \
	"    job_id, provenance, seq, rated_at)" \
	"  SELECT session_id, index, text, rating, " LINE_VALUES ", seq + line.place, now()" \
	"  FROM line JOIN placed ON placed.place = line.job"

static const char complete_sql[] = COMPLETE("", IS_OURS) "), remembered AS (" REMEMBER("") ") " SETTLED_PLACES;

/* The same for jobs that hold_sql has locked: what their claim would have written is written with it. No phrases. */
static const char complete_held_sql[] =
	COMPLETE(", claim = g.claim + 1, claimed_by = $25, started_at = now()", IS_AS_CLAIMED("pending"))
	") SELECT place FROM settled";

static const char begin_sql[] = "BEGIN";
static const char commit_sql[] = "COMMIT";

/*
 * Settles jobs with whatever lines they have: complete, fail, put back, or (status "processing") only store
 * what has arrived, whatever is there already. Only jobs still under our claim are touched, and only their
 * lines stored. The session's row is locked before its lines are numbered, so that seq follows the order of
 * commits. Lines with a cache key (fresh ones) go into the cache even if the job moved on.
 */
static const char settle_sql[] =
	BATCH
	"), settled AS ("
	"  UPDATE grading_jobs g SET status = job.status, attempts = least(coalesce(g.attempts, 0), 2147483646) + coalesce(job.attempt, 0),"
	"    available_at = CASE WHEN job.status = 'pending'"
	"      THEN now() + coalesce(job.delay_ms, 0) * interval '1 ms' ELSE g.available_at END,"
	"    result = coalesce(($24::jsonb[])[job.result], g.result), error = job.error, updated_at = now(),"
	"    completed_at = CASE WHEN job.status = 'completed' THEN now() END,"
	"    failed_at = CASE WHEN job.status = 'failed' THEN now() END,"
	"    claimed_by = CASE WHEN job.status <> 'pending' THEN g.claimed_by END,"
	"    counted_as = CASE WHEN job.status IN ('completed', 'failed') THEN job.status ELSE g.counted_as END"
	"  FROM job WHERE " IS_OURS
	"  RETURNING g.id, g.session_id, g.counted_as AS counted, job.was, job.batches, job.lines, job.skipped,"
	"    job.stored, job.place"
	"), locked AS MATERIALIZED ("
	"  SELECT s.session_id, s.rated_seq FROM grading_sessions s"
	"  WHERE s.session_id = ANY(ARRAY(SELECT session_id FROM settled))"
	"  ORDER BY s.session_id FOR UPDATE"
	"), fresh AS ("
	"  SELECT DISTINCT ON (settled.session_id, line.index) settled.session_id, settled.id AS job_id, line.*,"
	"    coalesce(locked.rated_seq, 0) AS rated_seq"
	"  FROM line JOIN settled ON settled.place = line.job LEFT JOIN locked USING (session_id)"
	"  ORDER BY settled.session_id, line.index"
	"), rated AS ("
	"  INSERT INTO line_ratings AS r (session_id, line_index, line_text, rating, alternatives, reason, cached,"
	"    job_id, provenance, seq, rated_at)"
	"  SELECT session_id, index, text, rating, " LINE_VALUES ","
	"    rated_seq + row_number() OVER (PARTITION BY session_id ORDER BY index), now()"
	"  FROM fresh"
	"  ON CONFLICT (session_id, line_index) DO UPDATE SET line_text = excluded.line_text,"
	"    rating = excluded.rating, alternatives = excluded.alternatives, reason = excluded.reason,"
	"    cached = excluded.cached, job_id = excluded.job_id, provenance = excluded.provenance,"
	"    seq = excluded.seq, rated_at = excluded.rated_at"
	"  RETURNING r.session_id, (r.xmax = 0) AS new"
	"), moved AS ("	/* `brought`: lines of jobs that count for the first time; what another job brought before is no new line */
	"  SELECT session_id, max(batches) AS batches,"
	"    sum((counted IS NOT DISTINCT FROM 'completed')::int - (was IS NOT DISTINCT FROM 'completed')::int)::int"
	"      AS completed,"
	"    sum((counted IS NOT DISTINCT FROM 'failed')::int - (was IS NOT DISTINCT FROM 'failed')::int)::int AS failed,"
	"    coalesce(sum(lines) FILTER (WHERE was IS NULL AND counted IS NOT NULL), 0)::int AS lines,"
	"    coalesce(sum(stored) FILTER (WHERE was IS NULL AND counted IS NOT NULL), 0)::int AS brought,"
	"    coalesce(sum(skipped) FILTER (WHERE was IS NULL AND counted IS NOT NULL), 0)::int AS skipped"
	"  FROM settled WHERE session_id IS NOT NULL GROUP BY session_id"
	"), gained AS ("
	"  SELECT session_id, count(*) AS stored, count(*) FILTER (WHERE new) AS new FROM rated GROUP BY session_id"
	"), session AS ("
	"  INSERT INTO grading_sessions AS s (session_id, total_batches, completed_batches, failed_batches,"
	"    total_lines, rated_lines, skipped_lines, rated_seq, started_at, first_rated_at, completed_at)"
	"  SELECT m.session_id, greatest(m.batches, m.completed + m.failed), greatest(m.completed, 0),"
	"    greatest(m.failed, 0), least(greatest(m.lines - m.brought + coalesce(g.new, 0), 0), m.lines),"
	"    coalesce(g.new, 0), m.skipped, coalesce(g.stored, 0), now(),"
	"    CASE WHEN g.stored > 0 THEN now() END,"
	"    CASE WHEN m.completed + m.failed >= greatest(m.batches, 1) THEN now() END"
	"  FROM moved m LEFT JOIN gained g USING (session_id)"
	"  WHERE m.completed <> 0 OR m.failed <> 0 OR g.stored > 0"
	"  ORDER BY m.session_id"
	"  ON CONFLICT (session_id) DO UPDATE SET"
	"    total_batches = greatest(s.total_batches, (SELECT greatest(batches, s.completed_batches"
	"      + s.failed_batches + completed + failed) FROM moved WHERE session_id = s.session_id)),"
	"    completed_batches = s.completed_batches + (SELECT completed FROM moved WHERE session_id = s.session_id),"
	"    failed_batches = s.failed_batches + (SELECT failed FROM moved WHERE session_id = s.session_id),"
	"    total_lines = CASE WHEN s.announced THEN s.total_lines ELSE s.total_lines + excluded.total_lines END,"
	"    rated_lines = s.rated_lines + excluded.rated_lines,"
	"    skipped_lines = s.skipped_lines + excluded.skipped_lines,"
	"    rated_seq = s.rated_seq + excluded.rated_seq,"
	"    started_at = least(s.started_at, excluded.started_at),"
	"    first_rated_at = least(s.first_rated_at, excluded.first_rated_at),"
	"    completed_at = CASE WHEN s.completed_batches + s.failed_batches"
	"      + (SELECT completed + failed FROM moved WHERE session_id = s.session_id)"
	"      >= greatest(s.total_batches, excluded.total_batches, 1) THEN greatest(s.updated_at, now()) END,"
	"    updated_at = greatest(s.updated_at, now())"
	"), remembered AS ("
	REMEMBER("DISTINCT ON (cache_key)")
	"  ON CONFLICT (cache_key) DO UPDATE SET phrase = excluded.phrase, rating = excluded.rating,"
	"    alternatives = excluded.alternatives, reason = excluded.reason, context = excluded.context,"
	"    provenance = excluded.provenance, created_at = excluded.created_at"
	"  WHERE c.created_at <= now() - $26::bigint * interval '1 ms'"
	") " SETTLED_PLACES;

/*
 * Puts back what $1 holds in the database but does not have in hand ($2): a claim whose answer was lost
 * with the connection.
 */
static const char disown_sql[] =
	"UPDATE grading_jobs SET status = 'pending', claimed_by = NULL, updated_at = now()"
	" WHERE status = 'processing' AND claimed_by = $1 AND id <> ALL($2::uuid[])"
	" RETURNING id";

/*
 * The pool's one look at the queue, a poll. Each index is walked once, because under an old snapshot that
 * means all its dead entries. `head` is the first live row of each priority, where claims begin (floor.h),
 * and what is counted behind it is counted up to 100,000, so that the look stays cheap with a deep queue.
 * Is anything due (with a hundred priorities, perhaps), and when next within $1 ms; is there work for the reaper ($2 ms) or the cleanup (finished
 * $3, failed $4 ms; 0: kept for ever); who claims on this host (prefix $5). One row for each head,
 * at least one.
 */
static const char tick_sql[] =
	"WITH RECURSIVE head AS ("
	"  (SELECT priority, available_at, id FROM grading_jobs WHERE status = 'pending'"
	"    ORDER BY priority DESC, available_at, id LIMIT 1)"
	"  UNION ALL"
	"  SELECT next.priority, next.available_at, next.id FROM head CROSS JOIN LATERAL ("
	"    SELECT g.priority, g.available_at, g.id FROM grading_jobs g"
	"    WHERE g.status = 'pending' AND g.priority < head.priority"
	"    ORDER BY g.priority DESC, g.available_at, g.id LIMIT 1) next"
	"), heads AS MATERIALIZED (SELECT * FROM head LIMIT 100), waiting AS ("
	"  SELECT sum(n.pending)::bigint AS pending, coalesce(sum(n.due), 0)::bigint AS due, min(next.at) AS next,"
	"    min(h.available_at) FILTER (WHERE h.available_at <= now() AND isfinite(h.available_at)) AS oldest,"
	"    coalesce(bool_or(h.available_at <= now()), false) OR count(*) = 100 AS look"
	"  FROM heads h CROSS JOIN LATERAL ("
	"    SELECT count(*) AS pending, count(*) FILTER (WHERE available_at <= now()) AS due FROM ("
	"      SELECT g.available_at FROM grading_jobs g WHERE g.status = 'pending' AND g.priority = h.priority"
	"        AND (g.available_at, g.id) >= (h.available_at, h.id)"
	"        ORDER BY g.available_at, g.id LIMIT 100000) p) n"
	"  LEFT JOIN LATERAL ("
	"    SELECT g.available_at AS at FROM grading_jobs g WHERE g.status = 'pending' AND g.priority = h.priority"
	"      AND g.available_at > now() ORDER BY g.available_at, g.id LIMIT 1) next ON true"
	"), held AS ("
	"  SELECT count(*) AS n, min(coalesce(started_at, updated_at, created_at, '-infinity')) AS oldest,"
	"    string_agg(DISTINCT claimed_by, E'\\n') FILTER (WHERE starts_with(claimed_by, $5)) AS claimants"
	"  FROM grading_jobs WHERE status = 'processing')"
	"SELECT waiting.look,"
	" CASE WHEN waiting.next <= now() + $1::bigint * interval '1 ms'"
	"  THEN ceil(extract(epoch FROM waiting.next - now()) * 1000)::bigint END,"
	" coalesce(waiting.pending, 0), waiting.due, held.n,"
	" (SELECT count(*) FROM (SELECT FROM grading_jobs WHERE status = 'failed'"
	"   AND failed_at > now() - interval '24 hours' LIMIT 100000) f),"
	" greatest(extract(epoch FROM now() - waiting.oldest) * 1000, 0)::bigint,"
	" coalesce(held.oldest < now() - $2::bigint * interval '1 ms', false),"
	" $3::bigint > 0 AND EXISTS (SELECT FROM grading_jobs WHERE status = 'completed'"
	"   AND completed_at < now() - $3::bigint * interval '1 ms')"
	"  OR $4::bigint > 0 AND EXISTS (SELECT FROM grading_jobs WHERE status = 'failed'"
	"   AND failed_at < now() - $4::bigint * interval '1 ms'),"
	" held.claimants, now(), heads.priority, heads.available_at, heads.id"
	" FROM waiting CROSS JOIN held LEFT JOIN heads ON true ORDER BY heads.priority DESC";

/* The session counters of jobs that a CTE `put` made "failed" (columns session_id, status, was). */
#define COUNT_FAILED \
	", moved AS (" \
	"  SELECT session_id, count(*) FILTER (WHERE was IS DISTINCT FROM 'failed')::int AS failed," \
	"    count(*) FILTER (WHERE was IS NOT DISTINCT FROM 'completed')::int AS uncompleted" \
	"  FROM put WHERE status = 'failed' AND session_id IS NOT NULL GROUP BY session_id" \
	"), session AS (" \
	"  INSERT INTO grading_sessions AS s (session_id, total_batches, failed_batches, started_at, completed_at)" \
	"  SELECT session_id, failed, failed, now(), now() FROM moved ORDER BY session_id" \
	"  ON CONFLICT (session_id) DO UPDATE SET failed_batches = s.failed_batches + excluded.failed_batches," \
	"    completed_batches = s.completed_batches" \
	"      - (SELECT uncompleted FROM moved WHERE session_id = s.session_id)," \
	"    total_batches = greatest(s.total_batches," \
	"      s.completed_batches + s.failed_batches + excluded.failed_batches)," \
	"    completed_at = CASE WHEN s.completed_batches + s.failed_batches + excluded.failed_batches" \
	"      >= s.total_batches THEN greatest(s.updated_at, now()) END," \
	"    updated_at = greatest(s.updated_at, now()))"

/*
 * A job that was held when its worker died, but in which the worker was not: it may be the cause or not. It
 * goes back free of charge FREE_DEATHS times, the later times after a while of its own, so that those that
 * only kept the wrong company get away from the one that kills; from then on its attempts count. A job in
 * which the CPU was when the worker was killed from outside needs fewer. Counted in `result`; columns `deaths`.
 */
#define FREE_DEATHS "10"
#define SPREAD_AFTER "2"
#define DEATH_IN_HAND "5"
#define DEATHS(result) \
	"CASE WHEN jsonb_typeof(" result " -> 'worker_deaths') = 'number'" \
	" THEN least(greatest((" result " ->> 'worker_deaths')::numeric, 0), 1000)::int ELSE 0 END"
#define SUSPECTED \
	"available_at = CASE WHEN deaths > " SPREAD_AFTER " AND NOT spent" \
	"  THEN now() + random() * least(deaths, 10) * interval '1 s' ELSE g.available_at END," \
	" result = CASE WHEN deaths > 0 THEN CASE WHEN jsonb_typeof(g.result) = 'object' THEN g.result" \
	"  ELSE '{}' END || jsonb_build_object('worker_deaths', deaths) ELSE g.result END"

/*
 * Jobs in processing for longer than $1 ms. Where the host is lost (it is not $2) nobody will ever know why, so
 * the attempt counts, as with a crash; a worker of this host is alive and did not get on: its jobs are suspects
 * (see SUSPECTED).
 */
static const char reap_sql[] =
	"WITH stuck AS MATERIALIZED ("
	"  SELECT g.id, counted_as, claimed_by, was.deaths, n.attempts,"
	"    was.counts AND n.attempts >= coalesce(max_attempts, 3) AS spent"
	"  FROM grading_jobs g CROSS JOIN LATERAL (SELECT " DEATHS("g.result") " AS deaths,"
	"      starts_with(coalesce(claimed_by, ''), $2) AS alive) d"
	"    CROSS JOIN LATERAL (SELECT d.deaths + d.alive::int AS deaths,"
	"      NOT d.alive OR d.deaths >= " FREE_DEATHS " AS counts) was"
	"    CROSS JOIN LATERAL (SELECT least(coalesce(g.attempts, 0), 2147483646) + was.counts::int AS attempts) n"
	"  WHERE status = 'processing'"
	"    AND coalesce(started_at, updated_at, created_at, '-infinity') < now() - $1::bigint * interval '1 ms'"
	"  ORDER BY started_at LIMIT 500 FOR UPDATE OF g SKIP LOCKED"
	"), put AS ("
	"  UPDATE grading_jobs g SET status = CASE WHEN spent THEN 'failed' ELSE 'pending' END,"
	"    attempts = stuck.attempts, claimed_by = NULL, updated_at = now(),"
	"    failed_at = CASE WHEN spent THEN now() END,"
	"    counted_as = CASE WHEN spent THEN 'failed' ELSE g.counted_as END, " SUSPECTED ","
	"    error = format('no worker finished this job within %s s of its claim (%s had it)',"
	"      round($1::bigint / 1000.0), coalesce(stuck.claimed_by, 'nobody known'))"
	"      || CASE WHEN spent THEN '; it has no attempts left' ELSE '' END"
	"  FROM stuck WHERE g.id = stuck.id AND g.id = ANY(ARRAY(SELECT id FROM stuck))"
	"  RETURNING g.session_id, g.status, stuck.counted_as AS was)"
	COUNT_FAILED
	"SELECT count(*), count(*) FILTER (WHERE status = 'failed') FROM put";

/*
 * Jobs of dead workers: $1 identities, $2 how each ended, $3 the job it had in hand (or null), $4 the line of
 * that (or null), $5 whether it was killed from outside. The only job that there was is to blame, however the
 * worker ended, and else the one in hand if it died of itself: its attempt counts, and in the end it fails. Where
 * that is known the others go free. Else they are suspects: see SUSPECTED. A job that somebody has locked is found by its dead
 * claimant at a later tick; one that was held by a lock alone (`loose`) has no claimant, so whoever has it now, such as
 * the dead worker's own server process, is waited for, with $6 and not for long; it counts as claimed from then on, so
 * that to tell of the same death twice charges it once. What they were asking about is free for others at once.
 */
static const char recover_sql[] =
	"WITH dead AS ("
	"  SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::bool[])"
	"    AS d(identity, how, in_hand, line, outside)"
	"), loose AS MATERIALIZED ("
	"  SELECT id FROM (SELECT id FROM grading_jobs, (SELECT set_config('lock_timeout', '500ms', true)) AS briefly"
	"    WHERE $6::bool AND id = ANY($3::uuid[]) AND status IS NOT DISTINCT FROM 'pending' AND claim = 0"
	"    ORDER BY id FOR UPDATE OF grading_jobs) AS waited_for"
	"  UNION ALL"
	"  SELECT id FROM (SELECT id FROM grading_jobs WHERE NOT $6::bool AND id = ANY($3::uuid[])"
	"    AND status IS NOT DISTINCT FROM 'pending' AND claim = 0 ORDER BY id FOR UPDATE SKIP LOCKED) AS free"
	"), held AS MATERIALIZED ("
	"  SELECT g.id, g.claim, g.counted_as, d.how, CASE WHEN d.in_hand = g.id THEN d.line END AS line,"
	"    greatest(coalesce(g.max_attempts, 3), 1) AS max_attempts,"
	"    (count(*) OVER (PARTITION BY d.identity) = 1 OR NOT d.outside AND coalesce(d.in_hand = g.id, false))::int AS guilt,"
	"    CASE WHEN d.in_hand IS NULL THEN 1 WHEN d.in_hand = g.id THEN " DEATH_IN_HAND " ELSE 0 END AS weight"
	"  FROM grading_jobs g JOIN dead d ON g.claimed_by = d.identity WHERE g.status = 'processing'"
	"  UNION ALL"
	"  SELECT g.id, g.claim, g.counted_as, max(d.how), max(d.line), greatest(coalesce(g.max_attempts, 3), 1),"
	"    count(*) FILTER (WHERE NOT d.outside)::int, " DEATH_IN_HAND " * count(*) FILTER (WHERE d.outside)::int"
	"  FROM grading_jobs g JOIN dead d ON d.in_hand = g.id WHERE g.id = ANY(ARRAY(SELECT id FROM loose)) GROUP BY g.id"
	"), judged AS MATERIALIZED ("
	"  SELECT g.id, held.how, held.line, held.counted_as, n.attempts, n.deaths,"
	"    n.attempts > coalesce(g.attempts, 0) AND n.attempts >= held.max_attempts AS spent"
	"  FROM grading_jobs g JOIN held USING (id, claim)"
	"    CROSS JOIN LATERAL (SELECT least(coalesce(g.attempts, 0), 2147483646) AS attempts,"
	"      " DEATHS("g.result") " + CASE WHEN guilt > 0 THEN 0 ELSE weight END AS deaths) was"
	"    CROSS JOIN LATERAL (SELECT was.deaths, was.attempts + greatest(guilt, (weight > 0"
	"      AND was.deaths > " FREE_DEATHS ")::int) AS attempts) n"
	"  WHERE g.id = ANY(ARRAY(SELECT id FROM held)) AND (g.status = 'processing' OR g.id = ANY(ARRAY(SELECT id FROM loose)))"
	"  ORDER BY g.id FOR UPDATE OF g SKIP LOCKED"
	"), put AS ("
	"  UPDATE grading_jobs g SET status = CASE WHEN spent THEN 'failed' ELSE 'pending' END,"
	"    claim = g.claim + (g.status = 'pending')::int, attempts = judged.attempts, claimed_by = NULL, updated_at = now(),"
	"    failed_at = CASE WHEN spent THEN now() END,"
	"    counted_as = CASE WHEN spent THEN 'failed' ELSE g.counted_as END, " SUSPECTED ","
	"    error = format('the worker that had this job %s', judged.how)"
	"      || coalesce(' while it was at line ' || judged.line, '')"
	"      || CASE WHEN spent THEN format('; that makes %s attempts, it is not tried again', judged.attempts)"
	"         ELSE '' END"
	"  FROM judged WHERE g.id = judged.id AND g.id = ANY(ARRAY(SELECT id FROM judged))"
	"  RETURNING g.session_id, g.status, judged.counted_as AS was)"
	COUNT_FAILED
	", grounded AS (DELETE FROM phrase_flights WHERE cache_key = ANY(ARRAY(SELECT cache_key FROM phrase_flights"
	"  WHERE asker = ANY($1::text[]) ORDER BY cache_key FOR UPDATE SKIP LOCKED)))"
	"SELECT count(*), count(*) FILTER (WHERE status = 'failed') FROM put";

/* One small batch; one host at a time, and a transaction-level lock so that a pooler does no harm. */
#define CLEANING "pg_try_advisory_xact_lock(1735549284, 2)"

static const char clean_jobs_sql[] =
	"WITH turn AS MATERIALIZED (SELECT " CLEANING " AS mine), old AS ("
	"  (SELECT id FROM grading_jobs, turn WHERE mine AND $1::bigint > 0 AND status = 'completed'"
	"    AND completed_at < now() - $1::bigint * interval '1 ms'"
	"    ORDER BY completed_at LIMIT $3::int FOR UPDATE OF grading_jobs SKIP LOCKED)"
	"), failed AS ("
	"  (SELECT id FROM grading_jobs, turn WHERE mine AND $2::bigint > 0 AND status = 'failed'"
	"    AND failed_at < now() - $2::bigint * interval '1 ms'"
	"    ORDER BY failed_at LIMIT $3::int FOR UPDATE OF grading_jobs SKIP LOCKED)"
	"), gone AS (DELETE FROM grading_jobs WHERE id = ANY(ARRAY(SELECT id FROM old UNION ALL"
	"  SELECT id FROM failed)) RETURNING 1)"
	"SELECT count(*) FROM gone";

/*
 * Expired entries ($1 ms) among the table's pages $2 to $3, how many pages it has, and whether it was our
 * turn: the table is walked through, since an index by age would be paid for with each entry. With them go
 * flights of lost hosts that nobody took over.
 */
static const char clean_cache_sql[] =
	"WITH turn AS MATERIALIZED (SELECT " CLEANING " AS mine), gone AS ("
	"  DELETE FROM phrase_cache WHERE ctid = ANY(ARRAY("
	"    SELECT c.ctid FROM phrase_cache c WHERE (SELECT mine FROM turn)"
	"      AND c.ctid >= format('(%s,0)', $2::bigint)::tid AND c.ctid < format('(%s,0)', $3::bigint)::tid"
	"      AND c.created_at < now() - $1::bigint * interval '1 ms' FOR UPDATE SKIP LOCKED))"
	"  RETURNING 1"
	"), lapsed AS ("
	"  DELETE FROM phrase_flights WHERE cache_key = ANY(ARRAY("
	"    SELECT cache_key FROM phrase_flights WHERE (SELECT mine FROM turn) AND until < now() - interval '1 minute'"
	"    ORDER BY cache_key LIMIT 500 FOR UPDATE SKIP LOCKED)))"
	"SELECT count(*), pg_relation_size('phrase_cache') / current_setting('block_size')::bigint,"
	"  (SELECT mine FROM turn) FROM gone";

/* The lock by which inserts learn that somebody sleeps (see 082); session level, on a direct connection. */
static const char sleep_sql[] = "SELECT pg_try_advisory_lock(1735549284, 1)";
static const char awake_sql[] = "SELECT pg_advisory_unlock(1735549284, 1)";

const struct statement statements[STATEMENT_COUNT] = {
	[STATEMENT_BEGIN] = { "begin", begin_sql, 0 },
	[STATEMENT_COMMIT] = { "commit", commit_sql, 0 },
	[STATEMENT_CLAIM] = { "claim", claim_sql, 9 },
	[STATEMENT_CLAIM_BRIEFLY] = { "claim_briefly", claim_briefly_sql, 9 },
	[STATEMENT_HOLD] = { "hold", hold_sql, 8 },
	[STATEMENT_COMPLETE_HELD] = { "complete_held", complete_held_sql, 25 },
	[STATEMENT_LOOKUP] = { "lookup", lookup_sql, 2 },
	[STATEMENT_FLY] = { "fly", fly_sql, 4 },
	[STATEMENT_STAY_ALOFT] = { "stay_aloft", stay_aloft_sql, 3 },
	[STATEMENT_LAND] = { "land", land_sql, 4 },
	[STATEMENT_STORED] = { "stored", stored_sql, 2 },
	[STATEMENT_COMPLETE] = { "complete", complete_sql, 25 },
	[STATEMENT_SETTLE] = { "settle", settle_sql, 26 },
	[STATEMENT_DISOWN] = { "disown", disown_sql, 2 },
	[STATEMENT_TICK] = { "tick", tick_sql, 5 },
	[STATEMENT_REAP] = { "reap", reap_sql, 2 },
	[STATEMENT_RECOVER] = { "recover", recover_sql, 6 },
	[STATEMENT_CLEAN_JOBS] = { "clean_jobs", clean_jobs_sql, 3 },
	[STATEMENT_CLEAN_CACHE] = { "clean_cache", clean_cache_sql, 3 },
	[STATEMENT_SLEEP] = { "sleep", sleep_sql, 0 },
	[STATEMENT_AWAKE] = { "awake", awake_sql, 0 },
};
