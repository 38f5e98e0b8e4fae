/*
 * What all raters share: the list of answered asks, the fingerprints, who reads a reply. Runs in
 * workers. It never retries, and knows no backend (backends.c does).
 */
#include "rater/rater.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"
#include "rater/session_verdict.h"

struct rater *rater_new(const struct rater_ops *ops, bool fallback, const struct config *config,
			struct loop *loop, struct err *err)
{
	struct rater *rater = xcalloc(1, sizeof(*rater));

	rater->ops = ops;
	rater->config = config;
	rater->loop = loop;
	rater->fallback = fallback;
	rater->done_tail = &rater->done_head;
	if (ops->open(rater, err) == -1) {
		free(rater);
		return NULL;
	}
	return rater;
}

int rater_check(const struct rater *rater, struct err *err)
{
	return rater && rater->ops->check ? rater->ops->check(rater, err) : 0;
}

bool rater_stop(struct rater *rater, bool at_once)
{
	return rater && rater->ops->stop ? rater->ops->stop(rater, at_once) : true;
}

void rater_free(struct rater *rater)
{
	if (!rater)
		return;
	rater->ops->close(rater);
	free(rater);
}

void rater_start(struct rater *rater, struct ask *ask)
{
	rater->in_flight++;
	rater->ops->start(rater, ask);
}

/* An answer that lies on the done-list is taken off it: its owner may be about to go. */
void rater_cancel(struct rater *rater, struct ask *ask)
{
	struct ask **at = &rater->done_head;

	if (!ask->done) {
		rater->in_flight--;
		rater->ops->cancel(rater, ask);
		return;
	}
	while (*at && *at != ask)
		at = &(*at)->next;
	if (!*at)
		return;
	rater->in_flight--;
	*at = ask->next;
	if (!*at)
		rater->done_tail = at;
}

void rater_done(struct rater *rater, struct ask *ask)
{
	ask->done = true;
	ask->next = NULL;
	*rater->done_tail = ask;
	rater->done_tail = &ask->next;
}

int ask_fail(struct ask *ask, enum err_kind kind, const char *fmt, ...)
{
	struct err *err = arena_alloc(&ask->job->arena, sizeof(*err));
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, kind, fmt, ap);
	va_end(ap);
	ask->err = err;
	return -1;
}

struct ask *rater_next_done(struct rater *rater)
{
	struct ask *ask = rater->done_head;

	if (!ask)
		return NULL;
	rater->in_flight--;
	rater->done_head = ask->next;
	if (!rater->done_head)
		rater->done_tail = &rater->done_head;
	ask->next = NULL;
	return ask;
}

static void hash_scale(struct hash *h, const struct rater *rater)
{
	const struct string_list *scale = &rater->config->rater.scale;

	hash_int(h, rater->config->rater.alternatives);
	hash_int(h, (int64_t)scale->n);		/* keeps the scale apart from the parts after it */
	for (size_t i = 0; i < scale->n; i++)
		hash_string(h, scale->items[i]);
}

void rater_set_hashes(struct rater *rater, const char *instructions, const char *format)
{
	char hex[HASH_HEX_SIZE];
	struct hash *h;

	hash_text(instructions, strlen(instructions), hex);
	snprintf(rater->prompt_hash, sizeof(rater->prompt_hash), "%.16s", hex);
	h = hash_begin();
	hash_scale(h, rater);
	hash_string(h, format);
	hash_end(h, hex);
	snprintf(rater->schema_hash, sizeof(rater->schema_hash), "%.16s", hex);
}

void rater_set_session(struct rater *rater, const char *instructions, const char *format,
		       const char *const *parts, size_t n)
{
	char hex[HASH_HEX_SIZE];
	struct hash *h = hash_begin();

	hash_string(h, "session");
	hash_string(h, rater->ops->name);
	hash_scale(h, rater);
	for (size_t i = 0; i < n; i++)
		hash_string(h, parts[i]);
	hash_end(h, rater->session.fingerprint);
	hash_text(instructions, strlen(instructions), hex);
	snprintf(rater->session.prompt_hash, RATER_HASH_SIZE, "%.16s", hex);
	hash_text(format, strlen(format), hex);
	snprintf(rater->session.schema_hash, RATER_HASH_SIZE, "%.16s", hex);
}

void ask_read_words(struct ask *ask, const struct config *config, const char *words, size_t len)
{
	struct arena *arena = &ask->job->arena;

	if (ask_is_whole(ask))
		session_verdict_read(words, len, config, arena, ask->verdicts);
	else
		ask->used.stray = verdict_read(words, len, config, ask->lines, ask->nlines, arena,
					       ask->verdicts);
}

void rater_set_fingerprint(struct rater *rater, const char *const *parts, size_t n)
{
	struct hash *h = hash_begin();

	hash_string(h, rater->ops->name);
	hash_scale(h, rater);
	for (size_t i = 0; i < n; i++)
		hash_string(h, parts[i]);
	hash_end(h, rater->fingerprint);
}
