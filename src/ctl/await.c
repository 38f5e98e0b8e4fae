/*
 * Waiting for sessions by polling grading_sessions. Each poll gets the ids that were open at the
 * last one and returns those that still are, so that it grows cheaper as the work is done.
 */
#include "await.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "ctl/ask.h"
#include "lib/json_strict.h"
#include "pg/pgsync.h"

#define POLL_MIN_MS 200
#define POLL_MAX_MS 1000
#define LINE_MS 5000		/* between lines where there is no terminal */
#define THOROUGH_MS 2000	/* nothing rated for so long: has somebody changed the jobs? */
#define STALL_MS 5000		/* nothing rated for so long: is something wrong? */
#define LONG_STALL_MS 30000	/* nothing rated for so long: said in any case */
#define ANSWER_CAP_BYTES (1 << 20)
#define FAILURES_SHOWN 10

enum { OPEN, FAILED, N_COMPLETED, N_FAILED, OVER_RATED, OVER_LINES, OPEN_RATED, OPEN_LINES };

/*
 * The sessions $1, by their counters alone; where nothing moves ($2), also by what became of their
 * jobs, since somebody may have changed these.
 */
static const char poll_sql[] =
	"WITH s AS ("
	"  SELECT t.session_id, rated_lines AS rated, greatest(total_lines, rated_lines) AS lines,"
	"         t.status = ANY(ARRAY['completed'::text, 'failed'::text])"
	"           OR p.session_id IS NOT NULL AS over,"
	"         failed_batches > 0 OR p.failed IS TRUE AS failed"
	"  FROM grading_sessions t LEFT JOIN LATERAL ("
	"    SELECT t.session_id, batches_failed > 0 AS failed FROM grading_progress(t.session_id)"
	"    WHERE status = ANY(ARRAY['completed'::text, 'failed'::text]) OFFSET 0"
	"  ) p ON $2::bool AND NOT t.status = ANY(ARRAY['completed'::text, 'failed'::text])"
	"  WHERE t.session_id = ANY ($1::uuid[]))"
	" SELECT coalesce(pg_catalog.array_agg(session_id) FILTER (WHERE NOT over), '{}'),"
	"        coalesce(pg_catalog.array_agg(session_id) FILTER (WHERE over AND failed), '{}'),"
	"        count(*) FILTER (WHERE over AND NOT failed),"
	"        count(*) FILTER (WHERE over AND failed),"
	"        coalesce(sum(rated) FILTER (WHERE over), 0),"
	"        coalesce(sum(lines) FILTER (WHERE over), 0),"
	"        coalesce(sum(rated) FILTER (WHERE NOT over), 0),"
	"        coalesce(sum(lines) FILTER (WHERE NOT over), 0)"
	" FROM s";

static const char failures_sql[] =
	"SELECT session_id, job_data ->> 'batchIndex'::text, coalesce(error, 'no reason given')"
	"  FROM grading_jobs"
	"  WHERE status::text = 'failed' AND session_id = ANY ($1::uuid[])"
	"  ORDER BY failed_at LIMIT $2::int";

struct await {
	struct ctl *ctl;
	PGconn *conn;
	const struct awaited *what;
	char *open;			/* uuid[] of the sessions that are not over */
	struct await_result *result;	/* of the sessions that are over */
	int64_t over_lines;		/* lines of the sessions that are over */
	int64_t open_lines;		/* lines of the others */
	int64_t open_rated;		/* lines that are rated of the others */
	int64_t first_rated;		/* lines that were rated at began_ms */
	int64_t began_ms;
	int64_t moved_ms;		/* when a line was last seen to be rated */
	int64_t line_ms;		/* when progress was last printed, without a terminal */
	int64_t asked_ms;		/* when the daemon was last asked, or a line rated */
	bool stall_told;		/* since moved_ms */
	int failures;			/* number of failed batches that were shown */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* ---- looking ---- */

static int64_t rated(const struct await *w)
{
	return w->result->rated_lines + w->open_rated;
}

static int show_failures(struct await *w, const char *sessions, struct err *err)
{
	char limit[16];
	const char *values[] = { sessions, limit };
	PGresult *result;

	snprintf(limit, sizeof(limit), "%d", FAILURES_SHOWN - w->failures);
	result = pgsync_query(w->conn, failures_sql, 2, values, err);
	for (int i = 0; i < PQntuples(result); i++, w->failures++)
		ctl_complain(w->ctl, "session %s, batch %s: %s",
			     w->what->name_of(w->what->arg, PQgetvalue(result, i, 0)),
			     PQgetisnull(result, i, 1) ? "?" : PQgetvalue(result, i, 1),
			     PQgetvalue(result, i, 2));
	PQclear(result);
	return result ? 0 : -1;
}

/* What one look found: sessions that are over are added up, for they are not looked at again. */
static void count(struct await *w, const PGresult *result)
{
	int64_t before = rated(w);

	free(w->open);
	w->open = xstrdup(PQgetvalue(result, 0, OPEN));
	w->result->completed += pgsync_int(result, N_COMPLETED);
	w->result->failed += pgsync_int(result, N_FAILED);
	w->result->rated_lines += pgsync_int(result, OVER_RATED);
	w->over_lines += pgsync_int(result, OVER_LINES);
	w->open_rated = pgsync_int(result, OPEN_RATED);
	w->open_lines = pgsync_int(result, OPEN_LINES);
	if (rated(w) != before) {
		w->moved_ms = w->asked_ms = now_ms();
		w->stall_told = false;
	}
}

static int look(struct await *w, struct err *err)
{
	bool stalled = now_ms() - w->moved_ms >= THOROUGH_MS;
	const char *values[] = { w->open, stalled ? "t" : "f" };
	PGresult *result = pgsync_query(w->conn, poll_sql, 2, values, err);
	int shown = 0;

	if (!result)
		return -1;
	if (pgsync_int(result, N_FAILED) > 0 && w->failures < FAILURES_SHOWN)
		shown = show_failures(w, PQgetvalue(result, 0, FAILED), err);
	if (shown == 0)		/* else this look is repeated, so nothing of it may count */
		count(w, result);
	PQclear(result);
	return shown;
}

/* A database that is restarted costs a wait nothing but time. */
static int reconnect(struct await *w, const struct err *err)
{
	ctl_complain(w->ctl, "%s; trying again", err->text);
	while (!interrupted) {
		poll(NULL, 0, POLL_MAX_MS);	/* a signal ends it early */
		PQreset(w->conn);
		if (PQstatus(w->conn) == CONNECTION_OK)
			return 0;
	}
	return -1;
}

/* ---- saying ---- */

static void describe(const struct await *w, char *text, size_t size)
{
	int64_t lines = w->over_lines + w->open_lines, left = w->open_lines - w->open_rated;
	int64_t done = rated(w) - w->first_rated, elapsed = now_ms() - w->began_ms;
	char eta[32] = "?";

	if (done > 0 && !w->stall_told)
		duration_human(elapsed * left / done, eta, sizeof(eta));
	snprintf(text, size, "%" PRId64 "/%" PRId64 " lines, %.0f/s, %s left", rated(w), lines,
		 elapsed > 0 ? (double)done * 1000 / (double)elapsed : 0.0, eta);
}

/* How the daemon is, mostly in its own words; true when that is what keeps it from working. */
static bool ask_why(struct await *w, char *why, size_t size)
{
	const char *summary, *reason;
	struct json_object *status = NULL;
	struct buf answer;
	struct err err;
	bool wrong = true;

	if (!ctl_may_ask_daemon(w->ctl)) {
		snprintf(why, size, "-s SOCKET would tell how the gradingd of this database is");
		return false;
	}
	buf_init(&answer, ANSWER_CAP_BYTES);
	if (ctl_ask(w->ctl, "show status json", &answer, &err) == -1) {
		snprintf(why, size, "%s", err.text);
	} else if (json_strict_parse(buf_text(&answer), answer.len, &status, &reason) == 0) {
		summary = json_object_get_string(json_object_object_get(status, "summary"));
		reason = json_object_get_string(json_object_object_get(status, "breaker_reason"));
		wrong = summary && strncmp(summary, "at work", 7) != 0;
		snprintf(why, size, "%s%s%s%s", summary ? summary : "?", reason ? " (" : "",
			 reason ? reason : "", reason ? ")" : "");
	}
	json_object_put(status);
	buf_free(&answer);
	return wrong;
}

/* Once for each time that it stops. A model may well take longer than STALL_MS. */
static void tell_stall(struct await *w)
{
	int64_t now = now_ms(), stalled = now - w->moved_ms;
	char why[800] = "";
	bool wrong;

	if (w->stall_told || stalled < STALL_MS || now - w->asked_ms < STALL_MS)
		return;
	w->asked_ms = now;
	wrong = ask_why(w, why, sizeof(why));
	if (!wrong && stalled < LONG_STALL_MS)
		return;
	w->stall_told = true;
	ctl_complain(w->ctl,
		     "nothing was rated for %d s: %s; `gradingctl show status` and "
		     "`gradingctl jobs` tell more",
		     (int)(stalled / 1000), why);
}

static void show(struct await *w)
{
	int64_t lines = w->over_lines + w->open_lines, settled = w->over_lines + w->open_rated;
	char text[120];

	describe(w, text, sizeof(text));
	if (w->ctl->err.is_tty) {
		term_live(&w->ctl->err, lines ? (double)settled / (double)lines : 1.0, text, false);
	} else if (!w->ctl->option[CTL_JSON] && now_ms() - w->line_ms >= LINE_MS) {
		fprintf(stderr, "%s\n", text);
		w->line_ms = now_ms();
	}
	tell_stall(w);
}

static void summarise(const struct await *w)
{
	int64_t elapsed = now_ms() - w->began_ms, done = rated(w) - w->first_rated;
	int64_t sessions = w->result->completed + w->result->failed;
	int64_t given_up = w->over_lines - w->result->rated_lines;
	double speed = elapsed > 0 ? (double)done * 1000 / (double)elapsed : 0;
	char took[32];

	if (w->ctl->option[CTL_JSON])
		return;		/* the caller's one line holds it */
	printf("rated %" PRId64 " line%s of %" PRId64 " session%s", rated(w), term_plural(rated(w)),
	       sessions, term_plural(sessions));
	if (done > 0 && done < rated(w))
		printf(", %" PRId64 " of them", done);
	if (done > 0 && elapsed > 0)
		printf(" in %s, %.*f lines a second", duration_human(elapsed, took, sizeof(took)),
		       speed < 10 ? 1 : 0, speed);
	if (w->result->failed)
		printf("; %" PRId64 " of them with failed batches", w->result->failed);
	if (given_up > 0)
		printf("; %" PRId64 " line%s given up, see error and result of the jobs", given_up,
		       term_plural(given_up));
	printf("\n");
}

/* ---- waiting ---- */

static bool is_any_open(const struct await *w)
{
	return strcmp(w->open, "{}") != 0;
}

/* A look that is dear is taken less often. */
static int pause_after(int64_t took_ms)
{
	int64_t pause = took_ms * 10;

	return (int)(pause < POLL_MIN_MS ? POLL_MIN_MS : pause > POLL_MAX_MS ? POLL_MAX_MS : pause);
}

static int watch_until_over(struct await *w, struct err *err)
{
	while (!interrupted && is_any_open(w)) {
		int64_t began = now_ms();

		if (look(w, err) == 0)
			show(w);
		else if (err->kind != ERR_LOST || reconnect(w, err) == -1)
			return -1;
		if (is_any_open(w))
			poll(NULL, 0, pause_after(now_ms() - began));
	}
	return 0;
}

int await_sessions(struct ctl *ctl, PGconn *conn, const struct awaited *what,
		   struct await_result *result)
{
	struct sigaction action = { .sa_handler = on_interrupt }, before;
	struct await w = {
		.ctl = ctl, .conn = conn, .what = what, .result = result,
		.open = xstrdup(what->sessions), .moved_ms = now_ms(), .line_ms = now_ms(),
		.began_ms = what->began_ms ? what->began_ms : now_ms(),
	};
	struct err err;
	int outcome;

	sigaction(SIGINT, &action, &before);
	outcome = look(&w, &err);
	w.first_rated = what->began_ms ? 0 : rated(&w);
	if (outcome == 0)
		outcome = watch_until_over(&w, &err);
	sigaction(SIGINT, &before, NULL);
	term_live_clear(&ctl->err);
	free(w.open);
	if (interrupted) {
		ctl_complain(ctl,
			     "stopped waiting; the work goes on, and the same command waits again");
		return EXIT_INTERRUPTED;
	}
	if (outcome == -1)
		return ctl_fail(ctl, &err);
	summarise(&w);
	return result->failed ? EXIT_FAILED : EXIT_STOPPED;
}
