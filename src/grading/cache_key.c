/*
 * When two lines are the same question, and so may share a rating: the rater, the context and the
 * phrase, as base/normalise.h writes it, agree. Pure; runs in workers.
 */
#include "grading/cache_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/normalise.h"
#include "lib/hash.h"
#include "rater/question.h"

struct key {
	struct hash *hash;
	const struct line *line;
};

static void hash_phrase(struct hash *hash, const struct line *line)
{
	char small[2048], *copy = small;
	size_t size = normalise_size(line->text_len);

	if (size > sizeof(small))
		copy = xcalloc(1, size);
	hash_part(hash, copy, normalise_into(copy, line->text, line->text_len));
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
	if (!rater->instant) {	/* it is told the names, and may use them in what it proposes */
		hash_string(key.hash, job->sales_rep);
		hash_string(key.hash, job->customer);
	}
	hash_phrase(key.hash, line);
	question_each_context(rater->config, job, &line, 1, add_context, &key);
	hash_end(key.hash, out);
}
