/*
 * Ratings that cost no call. Runs in workers. What the tables hold is held to the rules of a
 * rater's answer: a rating outside the scale is none, and the line stays as it was.
 */
#include "grading/gifts.h"

#include <string.h>

#include "base/arena.h"
#include "rater/verdict.h"

void grading_give_cached(struct graded_line *line, const struct config *config,
			 const struct cached_row *cached)
{
	struct arena *arena = &line->owner->job.arena;
	struct settle_line store;
	const char *alternatives, *provenance;
	struct verdict v;

	if (!line_is_pending(line))
		return;
	/* The table may hold anything. */
	verdict_give(&v, config, arena, cached->rating, NULL, 0, cached->reason);
	if (v.outcome != OUTCOME_RATED)
		return;
	alternatives = arena_dup(arena, cached->alternatives, strlen(cached->alternatives));
	provenance = cached->provenance ? cached->provenance : "{}";
	provenance = arena_dup(arena, provenance, strlen(provenance));
	store = (struct settle_line){
		.line = line->line, .rating = v.rating, .cached = true,
		.reason = v.reason[0] ? v.reason : NULL,
		.alternatives = alternatives,
		.provenance = provenance, .given_at = cached->given_at,
	};
	line->owner->cached += line_rate(line, &store);
}

void grading_give_equal(struct graded_line *line, const struct config *config,
			const struct graded_line *rated)
{
	const struct settle_line *store = &rated->store;
	struct cached_row row = {
		.key = rated->key, .rating = store->rating, .alternatives = store->alternatives,
		.reason = store->reason ? store->reason : "", .provenance = store->provenance,
		.given_at = store->given_at,
	};

	grading_give_cached(line, config, &row);
}

void grading_give_stored(struct grading *g, int index, const char *text)
{
	for (size_t i = 0; i < g->job.nrated; i++) {
		struct graded_line *gl = &g->lines[i];
		bool cached = line_is_rated(gl);	/* found in the cache as well */

		if (gl->line->index != index || strcmp(gl->line->text, text) != 0)
			continue;
		if (line_find_stored(gl))
			g->cached -= cached;
	}
}
