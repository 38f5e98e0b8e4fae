/*
 * A rubric as loaded from its file: signals that a line of talk may hold, each with a weight, and
 * the bands of the score that give the rating. Read-only once loaded; etc/rubric.conf explains the
 * format.
 */
#ifndef RULES_H
#define RULES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "config/config.h"
#include "rubric/pattern.h"

#define RUBRIC_CAP_BYTES (256u << 10)	/* the file */
#define RUBRIC_SIGNALS_CAP 64		/* one bit each */
#define RUBRIC_TOPICS_CAP 50
#define RUBRIC_LISTS_CAP (3 * RUBRIC_SIGNALS_CAP + RUBRIC_TOPICS_CAP)
#define RUBRIC_ENTRIES_CAP 300		/* phrases, alternatives or names in one list */
#define RUBRIC_TEXT_CAP_BYTES 500	/* a reason or an alternative */
#define RUBRIC_NAME_CAP_BYTES 60
#define RUBRIC_WEIGHT_CAP 20

#define LIST_NONE (-1)

/* An alternative; the topic's words go between its two parts where it has {topic}. */
struct alternative { const char *before, *after; };	/* after: NULL without {topic} */
struct alternatives { const struct alternative *at; size_t n; };

struct signal_rule {
	const char *name, *reason;
	int weight;
	int phrases, except, customer;	/* lists of the patterns, or LIST_NONE */
	uint64_t with, without;		/* bits of signals before this one; 0: no such condition */
	int min_words, max_words;
	int question;			/* 1: the line must ask, 0: must not, -1: either */
	struct alternatives alternatives;
};

struct band {
	const char *rating;
	const char *reason;		/* where no signal was found */
	int from;			/* the lowest score; INT_MIN in the last */
	struct alternatives alternatives;
};

struct topic { const char *topic; int phrases; };

struct rules {
	struct arena arena;		/* owns the texts below */
	struct patterns *patterns;
	struct signal_rule signals[RUBRIC_SIGNALS_CAP];
	size_t nsignals;
	struct topic topics[RUBRIC_TOPICS_CAP];
	size_t ntopics;
	struct band *bands;		/* from the highest score down */
	size_t nbands;
	unsigned nlists;
};

/*
 * Reads a rubric; name is what errors call it. Every rating must be one of scale. Returns NULL and
 * err ("NAME:LINE: reason", ERR_CONFIG) for any mistake.
 */
struct rules *rules_load(const char *text, size_t len, const char *name,
			 const struct string_list *scale, struct err *err);
void rules_free(struct rules *rules);	/* NULL is fine */

#endif
