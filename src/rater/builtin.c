/*
 * The rater built into gradingd: gives each line its verdict by the rubric, within start(). Runs in
 * workers; no network, nothing outstanding, nothing remembered.
 */
#include "builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/embed.h"
#include "base/normalise.h"
#include "base/utf8.h"
#include "rater/question.h"
#include "rubric/rubric.h"
#include "scoreboard/breadcrumb.h"
#include "session_rubric.h"

/* To be raised when the same rubric would rate a line differently: cache keys hold it. */
#define RUBRIC_ENGINE "rubric 2"

static int read_file(struct buf *out, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char block[4096];
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0 && buf_ok(out))
		buf_add(out, block, (size_t)n);
	if (n < 0)
		err_set(err, ERR_CONFIG, "cannot read the rubric %s: %s", path, strerror(errno));
	else if (!buf_ok(out))
		err_set(err, ERR_CONFIG, "%s:1: a rubric may have %u bytes, this has more", path,
			RUBRIC_CAP_BYTES);
	if (fd >= 0)
		close(fd);
	return n < 0 || !buf_ok(out) ? -1 : 0;
}

static int use_rubric(struct rater *rater, const char *text, size_t len, const char *name,
		      struct err *err)
{
	rater->data = rules_load(text, len, name, &rater->config->rater.scale, err);
	if (!rater->data)
		return -1;
	strcpy(rater->model, "rubric");
	rater->instant = true;
	rater_set_hashes(rater, text, RUBRIC_ENGINE);
	rater_set_fingerprint(rater, (const char *const[]){ RUBRIC_ENGINE, text }, 2);
	rater_set_session(rater, SESSION_RUBRIC_ENGINE, SESSION_RUBRIC_ENGINE,
			  (const char *const[]){ SESSION_RUBRIC_ENGINE }, 1);
	return 0;
}

static int rubric_open(struct rater *rater, struct err *err)
{
	const char *path = rater->config->rubric.file;
	struct buf text;
	int result;

	if (path[0] == '\0')
		return use_rubric(rater, embedded_rubric.text, embedded_rubric.len,
				  "rubric.conf (built in)", err);
	buf_init(&text, RUBRIC_CAP_BYTES);
	result = read_file(&text, path, err);
	if (result == 0)
		result = use_rubric(rater, buf_text(&text), text.len, path, err);
	buf_free(&text);
	return result;
}

/* What the customer said just before a line, if that is part of its context, and so of its key. */
struct before { const struct line *line, *customer; };

static void note_before(void *arg, const struct line *context)
{
	struct before *b = arg;

	if (context + 1 == b->line && !context->rated)
		b->customer = context;
}

/*
 * Only what the phrase cache hashes may decide, so that equal keys cannot hide different ratings:
 * the normalised text. In printable ASCII the rubric itself takes no notice of case and blanks.
 */
static const char *normalised(struct job *job, const struct line *line)
{
	if (!line || utf8_plain_run(line->text, line->text_len) == line->text_len)
		return line ? line->text : NULL;
	return normalise_dup(&job->arena, line->text);
}

static void rate_line(struct rater *rater, struct job *job, const struct line *line,
		      struct verdict *verdict)
{
	const struct config *config = rater->config;
	struct before before = { .line = line };
	struct rubric_rating rating;
	size_t n;

	if (config->rater.context_lines > 0)
		question_each_context(config, job, &line, 1, note_before, &before);
	rubric_rate(rater->data, normalised(job, line), normalised(job, before.customer),
		    &job->arena, &rating);
	n = rating.nalternatives;
	if (n > (size_t)config->rater.alternatives)
		n = (size_t)config->rater.alternatives;
	verdict_give(verdict, config, &job->arena, rating.rating, rating.alternatives, n,
		     rating.reason);
}

static void rubric_start(struct rater *rater, struct ask *ask)
{
	int64_t began_ms = now_ms();

	if (ask_is_whole(ask))
		session_rubric_grade(ask, rater->config);
	for (size_t i = 0; i < ask->nlines && !ask_is_whole(ask); i++) {
		breadcrumb_line(ask->lines[i]->index);
		rate_line(rater, ask->job, ask->lines[i], &ask->verdicts[i]);
	}
	ask->used.model = rater->model;
	ask->used.latency_ms = now_ms() - began_ms;
	rater_done(rater, ask);
}

/* start() leaves nothing to cancel. */
static void rubric_cancel(struct rater *rater, struct ask *ask)
{
	(void)rater;
	(void)ask;
}

static void rubric_close(struct rater *rater)
{
	rules_free(rater->data);
	rater->data = NULL;
}

const struct rater_ops rater_rubric_ops = {
	.name = "rubric",
	.advice = "check rubric.file",
	.open = rubric_open,
	.start = rubric_start,
	.cancel = rubric_cancel,
	.close = rubric_close,
};
