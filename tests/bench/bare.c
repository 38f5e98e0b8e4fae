/*
 * The bare loop, the yardstick of the benchmarks: claims jobs and stores the ratings, the session's
 * counters and the completed job that gradingd would, with nothing around them. Each process has
 * one connection and sends the settlement of one batch together with the claim of the next, in one
 * transaction and one round trip, all values in binary. It reads no transcript and judges nothing:
 * every line gets the same words, about as long as real ones. It writes the same rows into the same
 * tables, and asks about nothing: not whether a job is still its own, nor what is there already.
 *
 * Two ways of claiming: `written` down, which is an update of its own, and `held` by the rows'
 * locks alone until the settlement commits, as gradingd does it in a deep queue.
 *
 * bare CONNINFO PROCESSES BATCH written|held: says "ready", waits for a line, runs until the queue
 * is empty, and prints what it did as JSON.
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define LINES 5			/* a job */
#define PARAM_CAP_BYTES (64u << 20)
#define UUID_BYTES 16
#define UUID_OID 2950
#define TEXT_OID 25
#define INT4_OID 23
#define INT8_OID 20

#define NEXT_JOBS \
	" FROM grading_jobs WHERE status = 'pending' AND available_at <= now()" \
	" ORDER BY priority DESC, turn DESC, available_at, id LIMIT $1::int FOR UPDATE SKIP LOCKED"
#define COLUMNS "id, session_id, claim, (job_data -> 'batchIndex')::int, job_data"
#define CLAIMED \
	"times_claimed = j.times_claimed + 1, claimed_by = 'bare', started_at = now()"
#define NUMBERED "claim = nextval('grading_claims'), "

static const char claim_written_sql[] =
	"UPDATE grading_jobs j SET status = 'processing', updated_at = now(), "
	NUMBERED CLAIMED
	" WHERE id = ANY(ARRAY(SELECT id" NEXT_JOBS ")) RETURNING " COLUMNS;
static const char claim_held_sql[] = "SELECT " COLUMNS NEXT_JOBS;

#define SETTLE(more) \
	"WITH line AS MATERIALIZED (" \
	"  SELECT * FROM unnest($3::uuid[], $4::int[], $5::uuid[], $6::text[], $7::text[]," \
	" $8::text[], $9::text[])" \
	"    AS l(session_id, index, job_id, text, rating, alternatives, reason)" \
	"), done AS (" \
	"  UPDATE grading_jobs j SET status = 'completed', completed_at = now()," \
	" updated_at = now()," \
	"    counted_as = 'completed', result = $10::jsonb" more \
	"  FROM unnest($1::uuid[], $2::bigint[]) AS d(id, claim)" \
	" WHERE j.id = d.id AND j.claim = d.claim" \
	"  RETURNING j.session_id" \
	"), rated AS (" \
	"  INSERT INTO line_ratings (session_id, line_index, line_text, rating, alternatives," \
	" reason, job_id," \
	"    provenance_id, seq)" \
	"  SELECT session_id, index, text, rating, alternatives::text[], reason, job_id," \
	" $11::uuid, nextval('grading_cursors') FROM line)" \
	" INSERT INTO grading_sessions AS s (session_id, completed_batches, rated_lines," \
	" first_rated_at)" \
	" SELECT session_id, count(*), 5 * count(*), now() FROM done" \
	" GROUP BY session_id ORDER BY session_id" \
	" ON CONFLICT (session_id) DO UPDATE SET" \
	" completed_batches = s.completed_batches + excluded.completed_batches," \
	"  rated_lines = s.rated_lines + excluded.rated_lines," \
	" rated_seq = s.rated_seq + excluded.rated_lines," \
	"  updated_at = now()"

static const char settle_written_sql[] = SETTLE("");
static const char settle_held_sql[] = SETTLE(", " CLAIMED);

/* As long as what the rubric writes, on average. */
static const char line_text[] =
	"Anna, it's basically what everybody uses, so that would be $129 for the first visit, "
	"and $49 a month. Reference 12345.";
static const char rating[] = "missed_opportunity";
static const char alternatives[] =
	"{\"What matters most to you when it comes to that?\",\"That's good to know. What "
	"would you want to be different?\",\"How does that look for you at the moment, and what "
	"have you tried so far when it comes to that part of it?\"}";
static const char reason[] = "asks nothing, names no benefit and no next step now";
static const char provenance[] = "5b0a1c1e-6f7c-5e0f-9a53-0d2f3c4b5a69";
static const char result[] =
	"{\"lines\":5,\"rated\":5,\"skipped\":0,\"cached\":0,\"rater\":\"rubric\","
	"\"model\":\"rubric\",\"calls\":0,\"prompt_tokens\":0,\"completion_tokens\":0,"
	"\"latency_ms\":0,\"ratings\":{\"excellent\":1,\"good\":1,\"poor\":1,"
	"\"missed_opportunity\":2}}";

enum { CLAIM_ID, CLAIM_SESSION, CLAIM_NUMBER, CLAIM_BATCH };
enum { IDS, CLAIMS, SESSIONS, INDEXES, JOB_IDS, TEXTS, RATINGS, ALTERNATIVES, REASONS, ARRAYS };

/* What a process tells when it is done. */
struct tally { long jobs, statements; double cpu_s; };

struct loop {
	PGconn *conn;
	const char *batch;
	bool held;
	struct buf params[ARRAYS];
	struct tally tally;
};

/* ---- binary arrays: the manual has no word on them; see array_send() in the server ---- */

static void put_int(struct buf *b, uint32_t value)
{
	value = htonl(value);
	buf_add(b, (const char *)&value, sizeof(value));
}

static void put_item(struct buf *b, const void *bytes, size_t len)
{
	put_int(b, (uint32_t)len);
	buf_add(b, bytes, len);
}

static void begin_array(struct buf *b, uint32_t type, int n)
{
	buf_reset(b);
	put_int(b, 1);		/* dimensions */
	put_int(b, 0);		/* no nulls */
	put_int(b, type);
	put_int(b, (uint32_t)n);
	put_int(b, 1);		/* lower bound */
}

static void begin_arrays(struct buf *p, int jobs)
{
	static const uint32_t types[ARRAYS] = { UUID_OID, INT8_OID, UUID_OID, INT4_OID, UUID_OID,
						TEXT_OID, TEXT_OID, TEXT_OID, TEXT_OID };

	for (int i = 0; i < ARRAYS; i++)
		begin_array(&p[i], types[i], i <= CLAIMS ? jobs : jobs * LINES);
}

static void put_line(struct loop *l, const char *id, const char *session, uint32_t index)
{
	struct buf *p = l->params;
	uint32_t wire = htonl(index);

	put_item(&p[SESSIONS], session, UUID_BYTES);
	put_item(&p[INDEXES], &wire, sizeof(wire));
	put_item(&p[JOB_IDS], id, UUID_BYTES);
	put_item(&p[TEXTS], line_text, sizeof(line_text) - 1);
	put_item(&p[RATINGS], rating, sizeof(rating) - 1);
	put_item(&p[ALTERNATIVES], alternatives, sizeof(alternatives) - 1);
	put_item(&p[REASONS], reason, sizeof(reason) - 1);
}

static void put_job(struct loop *l, const PGresult *jobs, int row)
{
	const char *id = PQgetvalue(jobs, row, CLAIM_ID);
	uint32_t batch;

	memcpy(&batch, PQgetvalue(jobs, row, CLAIM_BATCH), sizeof(batch));
	put_item(&l->params[IDS], id, UUID_BYTES);
	put_item(&l->params[CLAIMS], PQgetvalue(jobs, row, CLAIM_NUMBER), sizeof(uint64_t));
	for (uint32_t i = 0; i < LINES; i++)
		put_line(l, id, PQgetvalue(jobs, row, CLAIM_SESSION), ntohl(batch) * LINES + i);
}

/* ---- the loop ---- */

static void check(PGconn *conn, int ok)
{
	if (!ok)
		fatal("bare: %s", PQerrorMessage(conn));
}

/*
 * The next result, which must be of this status. After that of a statement comes a NULL, after a
 * sync none.
 */
static PGresult *expect(PGconn *conn, ExecStatusType status)
{
	PGresult *r = PQgetResult(conn);

	if (PQresultStatus(r) != status)
		fatal("bare: %s", PQresultErrorMessage(r));
	if (status != PGRES_PIPELINE_SYNC && PQgetResult(conn))
		fatal("bare: more than one result");
	return r;
}

static void send_settle(struct loop *l, const PGresult *jobs)
{
	const char *values[ARRAYS + 2];
	int lengths[ARRAYS + 2] = { 0 }, formats[ARRAYS + 2] = { 0 };

	begin_arrays(l->params, PQntuples(jobs));
	for (int row = 0; row < PQntuples(jobs); row++)
		put_job(l, jobs, row);
	for (int i = 0; i < ARRAYS; i++) {
		values[i] = l->params[i].data;
		lengths[i] = (int)l->params[i].len;
		formats[i] = 1;
	}
	values[ARRAYS] = result;
	values[ARRAYS + 1] = provenance;
	check(l->conn, PQsendQueryPrepared(l->conn, "settle", ARRAYS + 2, values, lengths, formats,
					   0));
}

static void send_bare(struct loop *l, const char *name)
{
	check(l->conn, PQsendQueryPrepared(l->conn, name, 0, NULL, NULL, NULL, 0));
}

/* How many statements come before the claim. */
static int send_round(struct loop *l, const PGresult *jobs)
{
	int before = 0;

	if (jobs) {
		send_settle(l, jobs);
		before++;
	}
	if (jobs && l->held) {
		send_bare(l, "commit");
		before++;
	}
	if (l->held) {
		send_bare(l, "begin");
		before++;
	}
	check(l->conn, PQsendQueryPrepared(l->conn, "claim", 1, &l->batch, NULL, NULL, 1));
	check(l->conn, PQpipelineSync(l->conn));
	return before;
}

static void run(struct loop *l)
{
	PGresult *jobs = NULL;
	int n, before;

	do {
		before = send_round(l, jobs);
		l->tally.statements += before + 1;
		while (before-- > 0)
			PQclear(expect(l->conn, PGRES_COMMAND_OK));
		PQclear(jobs);
		jobs = expect(l->conn, PGRES_TUPLES_OK);
		PQclear(expect(l->conn, PGRES_PIPELINE_SYNC));
		n = PQntuples(jobs);
		l->tally.jobs += n;
	} while (n > 0);
	PQclear(jobs);
}

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static PGconn *connect_and_prepare(const char *conninfo, bool held)
{
	PGconn *conn = PQconnectdb(conninfo);

	check(conn, PQstatus(conn) == CONNECTION_OK);
	PQclear(PQexec(conn, "SET enable_seqscan = off"));
	PQclear(PQprepare(conn, "claim", held ? claim_held_sql : claim_written_sql, 0, NULL));
	PQclear(PQprepare(conn, "settle", held ? settle_held_sql : settle_written_sql, 0, NULL));
	PQclear(PQprepare(conn, "begin", "BEGIN", 0, NULL));
	PQclear(PQprepare(conn, "commit", "COMMIT", 0, NULL));
	check(conn, PQenterPipelineMode(conn));
	return conn;
}

/* Says on `out` that it is ready, starts when `go` is closed, says on `out` what it did. */
static void child(char **argv, int go, int out)
{
	struct loop l = { .batch = argv[3], .held = strcmp(argv[4], "held") == 0 };
	double cpu;
	char c = 'r';

	for (int i = 0; i < ARRAYS; i++)
		buf_init(&l.params[i], PARAM_CAP_BYTES);
	l.conn = connect_and_prepare(argv[1], l.held);
	if (write(out, &c, 1) != 1 || read(go, &c, 1) != 0)
		fatal("bare: the parent is gone");
	cpu = cpu_seconds();
	run(&l);
	l.tally.cpu_s = cpu_seconds() - cpu;
	if (write(out, &l.tally, sizeof(l.tally)) != sizeof(l.tally))
		fatal("bare: the parent is gone");
	PQfinish(l.conn);
	exit(0);
}

static void spawn(char **argv, int n, const int go[2], const int out[2])
{
	for (int i = 0; i < n; i++) {
		if (fork() > 0)
			continue;
		close(go[1]);
		child(argv, go[0], out[1]);
	}
	close(out[1]);
}

int main(int argc, char **argv)
{
	int n = argc > 4 ? atoi(argv[2]) : 0, go[2], out[2];
	struct tally sum = { 0 }, one;
	int64_t began;
	char c;

	if (n < 1 || pipe(go) == -1 || pipe(out) == -1)
		fatal("usage: bare CONNINFO PROCESSES BATCH written|held");
	spawn(argv, n, go, out);
	for (int i = 0; i < n; i++)
		if (read(out[0], &c, 1) != 1)
			fatal("bare: a process ended early");
	puts("ready");
	fflush(stdout);
	getchar();
	began = now_ms();
	close(go[1]);
	for (int i = 0; i < n; i++) {
		if (read(out[0], &one, sizeof(one)) != sizeof(one))
			fatal("bare: a process ended early");
		sum.jobs += one.jobs;
		sum.statements += one.statements;
		sum.cpu_s += one.cpu_s;
	}
	printf("{\"jobs\": %ld, \"seconds\": %.3f, \"statements\": %ld, \"cpu_s\": %.3f}\n",
	       sum.jobs, (double)(now_ms() - began) / 1000, sum.statements, sum.cpu_s);
	return 0;
}
