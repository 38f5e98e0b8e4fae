/*
 * gradingctl enqueue: reads transcripts from files, hands them on by the batch, and says what came
 * of it; with --wait it stays until they are rated.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "ctl/cmd.h"
#include "pg/pgarray.h"
#include "await.h"
#include "enqueue_batch.h"
#include "transcripts.h"

/* How a session is called by whoever waits for it. */
struct name {
	char session[UUID_SIZE], id[TRANSCRIPT_ID_SHOWN];
};

struct enqueue {
	struct ctl *ctl;
	struct enqueue_batch batch;
	struct name *names;		/* of all sessions, for --wait */
	size_t nnames, names_room;
	int64_t began_ms;
};

/* ---- reading ---- */

static void keep_name(struct enqueue *e, const struct transcript *t)
{
	if (e->nnames == e->names_room) {
		e->names_room = e->names_room ? e->names_room * 2 : ENQUEUE_BATCH;
		e->names = xrealloc(e->names, e->names_room * sizeof(*e->names));
	}
	memcpy(e->names[e->nnames].session, t->session, sizeof(t->session));
	memcpy(e->names[e->nnames++].id, t->id, sizeof(t->id));
}

static const char *name_of(const void *arg, const char *session)
{
	const struct enqueue *e = arg;

	for (size_t i = 0; i < e->nnames; i++)
		if (strcmp(e->names[i].session, session) == 0)
			return e->names[i].id;
	return session;
}

static int add(struct enqueue *e, const char *file, const struct transcript *t, struct err *err)
{
	if (e->ctl->option[CTL_WAIT])
		keep_name(e, t);
	return enqueue_batch_add(&e->batch, file, t, err);
}

/* Sessions that are in the queue now, or were there before. */
static int64_t taken(const struct enqueue_counts *c)
{
	return c->made + c->grown + c->present;
}

static void show(struct enqueue *e, const struct transcripts *file)
{
	int64_t sessions = taken(&e->batch.counts);
	char text[80];

	snprintf(text, sizeof(text), "%" PRId64 " sessions, %" PRId64 " lines", sessions,
		 e->batch.counts.lines);
	if (sessions > 0)
		term_live(&e->ctl->err, transcripts_fraction(file), text, false);
}

static int enqueue_file(struct enqueue *e, const char *path, struct err *err)
{
	struct transcripts *file = transcripts_open(path, err);
	struct transcript transcript;
	int found, outcome = 0;

	if (!file) {	/* the other files are not to blame */
		enqueue_batch_refuse(&e->batch, err->text);
		return 0;
	}
	while (outcome == 0 && (found = transcripts_next(file, &transcript, err)) != 0) {
		if (found == 1)
			outcome = add(e, transcripts_name(file), &transcript, err);
		else
			enqueue_batch_refuse(&e->batch, err->text);
		if (found == -1 && err->kind == ERR_LOST)
			break;
		show(e, file);
	}
	transcripts_close(file);
	return outcome;
}

static int enqueue_files(struct enqueue *e, char **paths, int n, struct err *err)
{
	for (int i = 0; i < n; i++)
		if (enqueue_file(e, paths[i], err) == -1)
			return -1;
	return enqueue_batch_send(&e->batch, err);
}

/* ---- saying ---- */

static void print_result(const struct enqueue_counts *c)
{
	int64_t sessions = c->made + c->grown;

	printf("enqueued %" PRId64 " session%s: %" PRId64 " job%s, %" PRId64 " line%s to rate",
	       sessions, term_plural(sessions), c->jobs, term_plural(c->jobs), c->lines,
	       term_plural(c->lines));
	if (c->grown)
		printf("; %" PRId64 " of them already there, and grown", c->grown);
	if (c->present)
		printf("; %" PRId64 " %s already there", c->present,
		       c->present == 1 ? "session was" : "sessions were");
	if (c->empty)
		printf("; %" PRId64 " empty", c->empty);
	if (c->refused)
		printf("; %" PRId64 " refused", c->refused);
	printf("\n");
	fflush(stdout);
}

/* waited: NULL when nobody asked to wait. */
static void print_json(const struct enqueue_counts *c, const struct await_result *waited)
{
	printf("{\"sessions\": %" PRId64 ", \"grown\": %" PRId64 ", \"jobs\": %" PRId64
	       ", \"lines\": %" PRId64 ", \"present\": %" PRId64 ", \"empty\": %" PRId64
	       ", \"refused\": %" PRId64, c->made + c->grown, c->grown, c->jobs, c->lines,
	       c->present, c->empty, c->refused);
	if (waited)
		printf(", \"completed\": %" PRId64 ", \"failed\": %" PRId64
		       ", \"rated_lines\": %" PRId64, waited->completed, waited->failed,
		       waited->rated_lines);
	printf("}\n");
}

static void complain_of_more(struct ctl *ctl, const struct enqueue_counts *c)
{
	if (c->refused > ENQUEUE_COMPLAINTS)
		ctl_complain(ctl, "and %" PRId64 " more that were refused",
			     c->refused - ENQUEUE_COMPLAINTS);
	if (c->noticed > ENQUEUE_COMPLAINTS)
		ctl_complain(ctl, "and %" PRId64 " more with lines that are not rated",
			     c->noticed - ENQUEUE_COMPLAINTS);
}

/* Why no line is rated, now or before; NULL: some are, or what was refused was said to be. */
static const char *why_nothing(const struct enqueue_counts *c)
{
	if (c->lines + c->known > 0)
		return NULL;
	if (taken(c) + c->empty > 0)
		return "no line of it is rated: none is of a speaker that is (see rater.speakers) "
		       "and has a \"text\"";
	return c->refused > 0 ? NULL : "there is no transcript in it; nothing is rated";
}

static int wait_for_all(struct enqueue *e, struct await_result *result)
{
	const struct awaited all = {
		.sessions = buf_text(&e->batch.sessions), .name_of = name_of, .arg = e,
		.began_ms = e->batch.counts.present + e->batch.counts.grown ? 0 : e->began_ms,
	};

	return await_sessions(e->ctl, e->batch.conn, &all, result);
}

/* outcome: of enqueueing, -1 with err when it was broken off. */
static int finish(struct enqueue *e, int outcome, const struct err *err)
{
	bool json = e->ctl->option[CTL_JSON], wait = e->ctl->option[CTL_WAIT];
	const struct enqueue_counts *counts = &e->batch.counts;
	struct await_result waited = { 0 };
	int status = outcome == -1 ? ctl_fail(e->ctl, err) : EXIT_STOPPED;

	term_live_clear(&e->ctl->err);
	complain_of_more(e->ctl, counts);
	if (!json)
		print_result(counts);
	pgarray_end(&e->batch.sessions);
	if (!buf_ok(&e->batch.sessions)) {
		ctl_complain(e->ctl, "these are too many sessions to wait for");
		status = EXIT_FAILED;
	}
	if (status == EXIT_STOPPED && wait)
		status = wait_for_all(e, &waited);
	if (json)
		print_json(counts, wait ? &waited : NULL);
	if (status == EXIT_STOPPED && why_nothing(counts)) {
		ctl_complain(e->ctl, "%s", why_nothing(counts));
		return EXIT_FAILED;
	}
	return status == EXIT_STOPPED && counts->refused ? EXIT_FAILED : status;
}

int cmd_enqueue(struct ctl *ctl, char **args, int n)
{
	struct enqueue e = { .ctl = ctl, .began_ms = now_ms() };
	struct err err;
	PGconn *conn = ctl_database(ctl, &err);
	int outcome, status;

	if (!conn)
		return ctl_fail(ctl, &err);
	enqueue_batch_init(&e.batch, ctl, conn);
	outcome = enqueue_files(&e, args, n, &err);
	if (outcome == -1)
		ctl_name_right(conn, "grading_app", &err);
	status = finish(&e, outcome, &err);
	enqueue_batch_free(&e.batch);
	free(e.names);
	PQfinish(conn);
	return status;
}
