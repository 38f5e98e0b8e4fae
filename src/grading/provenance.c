/*
 * Provenance: the JSON object that tells who gave a rating and by which prompt. When it was given,
 * and whether it came from the phrase cache, differs from one rating to the next and stands beside
 * it. Runs in workers; it judges nothing and stores nothing.
 */
#include "provenance.h"

#include <string.h>

void provenance_write_rater(struct buf *b, const struct rater *rater, const char *model)
{
	buf_str(b, "\"rater\":\"");
	buf_str(b, rater->ops->name);
	buf_str(b, rater->fallback ? "\",\"fallback\":true,\"model\":" : "\",\"model\":");
	buf_json(b, model ? model : rater->model);
}

/*
 * In the form in which Postgres writes jsonb (keys by their length, then their bytes), which is
 * what the phrase cache gives back: so what was cached has the same text, and one id.
 */
const char *provenance_fresh(struct arena *arena, const struct rater *rater, const char *model,
			     bool whole)
{
	const char *fingerprint = whole ? rater->session.fingerprint : rater->fingerprint;
	struct buf b;
	char *text;

	buf_init(&b, 4096);
	buf_str(&b, "{\"model\": ");
	buf_json(&b, model ? model : rater->model);
	buf_str(&b, ", \"rater\": \"");
	buf_str(&b, rater->ops->name);
	buf_str(&b, "\", \"prompt\": \"");
	buf_str(&b, whole ? rater->session.prompt_hash : rater->prompt_hash);
	buf_str(&b, "\", \"schema\": \"");
	buf_str(&b, whole ? rater->session.schema_hash : rater->schema_hash);
	buf_str(&b, rater->fallback ? "\", \"fallback\": true, \"fingerprint\": \""
				    : "\", \"fingerprint\": \"");
	buf_add(&b, fingerprint, strnlen(fingerprint, 16));
	buf_str(&b, "\"}");
	text = arena_dup(arena, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}
