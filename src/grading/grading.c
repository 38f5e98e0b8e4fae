/*
 * A job under way, made from its row. Runs in workers; it sends nothing and waits for nothing.
 * What becomes of the job afterwards is in the room's other files, which know nothing of this one.
 */
#include "grading/grading.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "grading/cache_key.h"
#include "grading/whole_grade.h"
#include "queue/whole.h"
#include "scoreboard/breadcrumb.h"
#include "result.h"

#define NOTICE_EVERY_MS 60000

static int read_row(struct grading *g, const struct claimed_row *row, const struct config *config,
		    struct err *err)
{
	const struct string_list *names = &config->rater.speakers;
	struct speakers speakers = { .names = names->items, .n = names->n };

	g->job.full = strcmp(row->job_type, "full_grading") == 0;
	if (!g->job.full && strcmp(row->job_type, "line_rating") != 0)
		return err_set(err, ERR_PERMANENT,
			       "job_type is \"%.40s\"; gradingd knows line_rating and full_grading",
			       row->job_type);
	if (!row->session_id[0])
		return err_set(err, ERR_PERMANENT,
			       "session_id is null; ratings are stored by session");
	if (row->data_bytes < 0)
		return err_set(err, ERR_PERMANENT,
			       "job_data is null; it must hold {\"transcript\": [...]}");
	if (!row->data)
		return err_set(err, ERR_PERMANENT,
			       "job_data is %" PRId64 " bytes long; the limit is %u",
			       row->data_bytes, JOB_DATA_CAP_BYTES);
	return job_parse(&g->job, &speakers, row->data, (size_t)row->data_bytes, err);
}

/* A job that grades its session as a whole. A conversation that is too long is no rubric's worry. */
static enum whole_state read_whole(struct grading *g, const struct claimed_row *row,
				   const struct rater *rater, struct err *err)
{
	const struct config *config = rater->config;
	const struct string_list *names = &config->rater.speakers;
	struct speakers speakers = { .names = names->items, .n = names->n };
	enum whole_state state;

	if (row->data_bytes >= 0 && !row->data)
		return err_set(err, ERR_PERMANENT,
			       "job_data is %" PRId64 " bytes long; the limit is %u",
			       row->data_bytes, JOB_DATA_CAP_BYTES);
	state = whole_parse(&g->job, &speakers, row->whole, row->data,
			    row->data ? (size_t)row->data_bytes : 0, err);
	if (state == WHOLE_WRONG)
		return state;
	if (config->rater.session_grading == SESSION_GRADING_OFF)
		return err_set(err, ERR_PERMANENT, "sessions are not graded as a whole: "
			       "rater.session_grading is \"off\"");
	if (state == WHOLE_READY && !rater->instant &&
	    g->job.whole->bytes > (size_t)config->rater.session_bytes)
		return err_set(err, ERR_PERMANENT, "the conversation of session %s has %zu bytes; "
			       "rater.session_bytes allows %" PRId64, g->job.session_id,
			       g->job.whole->bytes, config->rater.session_bytes);
	return state;
}

static void list_lines(struct grading *g, const struct rater *rater)
{
	size_t n = 0;

	g->lines = arena_alloc(&g->job.arena, g->job.nrated * sizeof(*g->lines));
	for (size_t i = 0; i < g->job.nlines; i++) {
		if (!g->job.lines[i].rated)
			continue;
		g->lines[n].owner = g;
		g->lines[n].line = &g->job.lines[i];
		breadcrumb_line(g->lines[n].line->index);
		if (g->keyed)
			phrase_key(rater, &g->job, g->lines[n].line, g->lines[n].key);
		n++;
	}
}

static void copy_claim(struct job *job, const struct claimed_row *row)
{
	memcpy(job->id, row->id, sizeof(job->id));
	memcpy(job->session_id, row->session_id, sizeof(job->session_id));
	job->claim = row->claim;
	job->times_claimed = row->times_claimed;
	job->attempts = row->attempts;
	job->max_attempts = row->max_attempts;
	job->counted_as = row->counted_as;
	job->known_stride = row->stride;
}

/*
 * It cannot be read. Where other jobs of the session may tell what is missing they get the time of
 * one poll, and this one is told by its result that it has waited.
 */
static void end_unread(struct grading *g, const struct claimed_row *row, int64_t poll_ms,
		       const struct err *err)
{
	g->job.nrated = 0;
	if (err->kind == ERR_RETRY && !result_has_waited(row->result))
		grading_wait_for_others(g, row->result, poll_ms, err->text);
	else
		grading_end_unreadable(g, err->text);
}

/* Once in a while is enough: whole sessions are so, and each result says it. */
static void say_who_was_rated(const struct grading *g)
{
	static int64_t not_before_ms;

	if (!g->job.notice || g->claimed_ms < not_before_ms)
		return;
	not_before_ms = g->claimed_ms + NOTICE_EVERY_MS;
	log_warn("session %s: %s", g->job.session_id, g->job.notice);
}

static void begin_batch(struct grading *g, const struct claimed_row *row,
			const struct rater *rater, bool with_keys)
{
	struct err err;

	g->keyed = with_keys;
	if (read_row(g, row, rater->config, &err) == -1) {
		end_unread(g, row, rater->config->queue.poll_ms, &err);
		return;
	}
	list_lines(g, rater);
	result_carry_over(g, row->result);
	say_who_was_rated(g);
}

/*
 * Its one line, which stands for the session, goes not through the phrase cache and waits for no
 * other. Claims in which it waited make no suspect of it.
 */
static void begin_whole(struct grading *g, const struct claimed_row *row,
			const struct rater *rater, bool with_keys)
{
	struct err err;
	enum whole_state state;

	grading_may_be_stored(g);
	g->bytes += (int64_t)strlen(row->whole);
	result_carry_over(g, row->result);
	if (g->whole.waits < g->job.times_claimed)
		g->job.times_claimed -= g->whole.waits;
	g->job.full = true;
	state = read_whole(g, row, rater, &err);
	if (state != WHOLE_READY)
		g->job.nrated = 0;
	if (state == WHOLE_WAITS) {
		grading_wait_for_session(g, row->result, err.text);
	} else if (state == WHOLE_WRONG) {
		grading_end_unreadable(g, err.text);
	} else {
		list_lines(g, rater);
		if (with_keys && !rater->instant)
			whole_grade_key(g, rater);
	}
}

struct grading *grading_new(const struct claimed_row *row, const struct rater *rater,
			    bool with_keys)
{
	struct grading *g = xcalloc(1, sizeof(*g));

	breadcrumb_job(row->id, row->claim);
	copy_claim(&g->job, row);
	if (row->times_claimed > 1 || row->counted_as != COUNTED_NOT)
		grading_may_be_stored(g);
	g->claimed_ms = now_ms();
	g->deadline_ms = g->claimed_ms + rater->config->queue.job_deadline_ms;
	g->bytes = row->data ? row->data_bytes : 0;
	g->settlement.job = &g->job;
	if (row->whole)
		begin_whole(g, row, rater, with_keys);
	else
		begin_batch(g, row, rater, with_keys);
	breadcrumb_end();
	return g;
}

void grading_free(struct grading *g)
{
	arena_free(&g->job.arena);
	free(g);
}
