/*
 * When two lines are the same question, and so may share a rating. Pure; runs in workers.
 *
 * Two phrases are equal when they differ in nothing but letter case and white space: "Hello,  Ann"
 * and "hello, ann" are, "hello ann" is not, nor are a composed and a decomposed letter, nor are letters
 * of which one folds to two (eszett and ss). Holding equal
 * phrases apart costs a call to the rater; taking others for equal would give a line the rating of
 * another one.
 */
#include "grading/cache_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/fold.h"
#include "base/utf8.h"
#include "lib/hash.h"
#include "rater/question.h"

static char *put_utf8(char *out, uint32_t code)
{
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t k = n - 1; k > 0; k--, code >>= 6)
		out[k] = (char)(0x80 | (code & 0x3f));
	out[0] = (char)(n == 1 ? code : lead[n] | code);
	return out + n;
}

/* A folded character may be longer (U+023A: 2 bytes to 3), but never twice as long. */
static size_t normalised_size(size_t len)
{
	return 2 * len + 1;
}

/* Writes up to normalised_size(len) bytes to copy, a NUL the last; returns the length without it. */
static size_t normalise(char *copy, const char *text, size_t len)
{
	char *out = copy;
	bool blank = false;
	uint32_t code;

	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		if (text[i] == ' ') {
			blank = true;
			n = 1;
			continue;
		}
		n = utf8_next(text + i, len - i, &code);
		if (n && (code >= 0x7f || code < ' ') && utf8_is_blank(code)) {
			blank = true;
			continue;
		}
		if (blank && out > copy)
			*out++ = ' ';
		blank = false;
		if (n && code < 0x80)		/* most text */
			*out++ = (char)fold(code);
		else if (n)
			out = put_utf8(out, fold(code));
		else
			*out++ = text[i];	/* not UTF-8: kept as it is */
	}
	*out = '\0';
	return (size_t)(out - copy);
}

char *phrase_normalise(struct arena *arena, const char *text)
{
	size_t len = strlen(text);
	char *copy = arena_alloc(arena, normalised_size(len));

	normalise(copy, text, len);
	return copy;
}

struct key {
	struct hash *hash;
	const struct line *line;
};

static void hash_phrase(struct hash *hash, const struct line *line)
{
	char small[2048], *copy = small;
	size_t size = normalised_size(line->text_len);

	if (size > sizeof(small))
		copy = xcalloc(1, size);
	hash_part(hash, copy, normalise(copy, line->text, line->text_len));
	if (copy != small)
		free(copy);
}

static void add_context(void *arg, const struct line *line)
{
	struct key *key = arg;

	hash_int(key->hash, line - key->line);	/* said before or after, and how far away */
	hash_string(key->hash, line->speaker);
	hash_phrase(key->hash, line);
}

void phrase_key(const struct rater *rater, const struct job *job, const struct line *line,
		char out[PHRASE_KEY_SIZE])
{
	struct key key = { .hash = hash_begin(), .line = line };

	hash_string(key.hash, rater->fingerprint);
	if (!rater->instant) {		/* it is told the names, and may use them in what it proposes */
		hash_string(key.hash, job->sales_rep);
		hash_string(key.hash, job->customer);
	}
	hash_phrase(key.hash, line);
	question_each_context(rater->config, job, &line, 1, add_context, &key);
	hash_end(key.hash, out);
}
