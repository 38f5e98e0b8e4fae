/*
 * Provenance: the JSON object beside each stored rating that tells who gave it, by which prompt,
 * when, and whether it came from the phrase cache. Runs in workers; it judges nothing and stores
 * nothing.
 */
#include "provenance.h"

#include <string.h>
#include <time.h>

/* Now, written once a second. */
static const char *timestamp(void)
{
	static char when[40];
	static time_t written;
	time_t now = time(NULL);
	struct tm tm;

	if (now != written) {
		gmtime_r(&now, &tm);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		written = now;
	}
	return when;
}

void provenance_write_rater(struct buf *b, const struct rater *rater, const char *model)
{
	buf_str(b, "\"rater\":\"");
	buf_str(b, rater->ops->name);
	buf_str(b, rater->fallback ? "\",\"fallback\":true,\"model\":" : "\",\"model\":");
	buf_json(b, model ? model : rater->model);
}

const char *provenance_fresh(struct arena *arena, const struct rater *rater, const char *model)
{
	struct buf b;
	char *text;

	buf_init(&b, 4096);
	buf_char(&b, '{');
	provenance_write_rater(&b, rater, model);
	buf_str(&b, ",\"prompt\":\"");
	buf_str(&b, rater->prompt_hash);
	buf_str(&b, "\",\"schema\":\"");
	buf_str(&b, rater->schema_hash);
	buf_str(&b, "\",\"fingerprint\":\"");
	buf_add(&b, rater->fingerprint, strnlen(rater->fingerprint, 16));
	buf_str(&b, "\",\"at\":\"");
	buf_str(&b, timestamp());
	buf_str(&b, "\",\"source\":\"fresh\"}");
	text = arena_dup(arena, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

/* As it was when the line was rated, but for the source: of equal keys the last one counts. */
const char *provenance_cached(struct arena *arena, const char *provenance)
{
	static const char source[] = "\"source\":\"cache\"}";
	size_t len = provenance ? strlen(provenance) : 0;
	char *text, *end;

	/* Not ours: the table may hold anything. */
	if (len < 2 || provenance[0] != '{' || provenance[len - 1] != '}')
		provenance = "{}", len = 2;
	text = arena_alloc(arena, len + sizeof(source) + 1);
	end = mempcpy(text, provenance, len - 1);
	if (len > 2)
		*end++ = ',';
	strcpy(end, source);
	return text;
}
