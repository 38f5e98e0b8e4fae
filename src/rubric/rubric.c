/*
 * Rates one line by the rules: which signals it holds, what they weigh together, which band that
 * score falls in, and what to say instead. Any process; reads no file, keeps nothing between lines.
 */
#include "rubric/rubric.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

#define REASONS_CAP 3	/* of a kind in one verdict: a reason is to be read at a glance */
#define REASON_TEXT_CAP_BYTES (2 * REASONS_CAP * (RUBRIC_TEXT_CAP_BYTES + 2) + 1)

/* What is known of the line that is being rated. */
struct findings {
	const struct rules *rules;
	size_t nwords;
	bool asks;
	bool in_line[RUBRIC_LISTS_CAP];		/* lists of phrases found in the line */
	bool in_customer[RUBRIC_LISTS_CAP];	/* those found in what the customer said before */
	uint64_t signals;			/* found: bit i is the rules' signal i */
	uint32_t seed;				/* of the choice among alternatives */
};

static void read_line(struct findings *f, const char *line)
{
	struct word words[WORDS_CAP];
	/* Of the words: another spelling of a blank or a dash changes nothing. */
	uint32_t seed = WORD_HASH_BEGIN;

	f->nwords = words_read(line, strlen(line), words);
	for (size_t i = 0; i < f->nwords; i++) {
		f->asks |= words[i].asks;
		seed = seed * 31 + words[i].hash;
	}
	f->seed = seed ^ seed >> 15;
	patterns_scan(f->rules->patterns, words, f->nwords, f->in_line);
}

static void read_customer(struct findings *f, const char *customer)
{
	struct word words[WORDS_CAP];

	patterns_scan(f->rules->patterns, words, words_read(customer, strlen(customer), words),
		      f->in_customer);
}

static bool is_found(const struct findings *f, size_t signal)
{
	return f->signals >> signal & 1;
}

static bool signal_applies(const struct findings *f, const struct signal_rule *r)
{
	if (r->phrases != LIST_NONE && !f->in_line[r->phrases])
		return false;
	if (r->except != LIST_NONE && f->in_line[r->except])
		return false;
	if (r->customer != LIST_NONE && !f->in_customer[r->customer])
		return false;
	if (f->nwords < (size_t)r->min_words || f->nwords > (size_t)r->max_words)
		return false;
	if (r->question >= 0 && f->asks != r->question)
		return false;
	return (!r->with || (f->signals & r->with)) && !(f->signals & r->without);
}

/* Finds the signals in the order of the file, since one may ask for others; returns the score. */
static int find_signals(struct findings *f)
{
	int score = 0;

	for (size_t i = 0; i < f->rules->nsignals; i++) {
		if (!signal_applies(f, &f->rules->signals[i]))
			continue;
		f->signals |= UINT64_C(1) << i;
		score += f->rules->signals[i].weight;
	}
	return score;
}

static const struct band *find_band(const struct rules *rules, int score)
{
	const struct band *b = rules->bands;

	while (score < b->from)		/* the last band's is INT_MIN */
		b++;
	return b;
}

/* Reasons of the found signals that speak for the line (sign 1) or against it (-1). */
static void add_reasons(struct buf *out, const struct findings *f, int sign)
{
	const char *separator = out->len > 0 ? "; " : "";
	int n = 0;

	for (size_t i = 0; i < f->rules->nsignals && n < REASONS_CAP; i++) {
		const struct signal_rule *r = &f->rules->signals[i];

		if (!is_found(f, i) || r->weight * sign <= 0)
			continue;
		buf_str(out, separator);
		buf_str(out, r->reason);
		separator = ", ";
		n++;
	}
}

static const char *write_reason(const struct findings *f, const struct band *band,
				struct arena *arena)
{
	const char *reason = band->reason;
	struct buf out;

	buf_init(&out, REASON_TEXT_CAP_BYTES);
	add_reasons(&out, f, 1);
	add_reasons(&out, f, -1);
	if (out.len > 0 && buf_ok(&out))
		reason = arena_dup(arena, out.data, out.len);
	buf_free(&out);
	return reason;
}

/*
 * Whose alternatives fit best: the gravest fault's, or else the best point's, or else the band's.
 */
static const struct alternatives *find_alternatives(const struct findings *f,
						    const struct band *band)
{
	const struct signal_rule *fault = NULL, *point = NULL;

	for (size_t i = 0; i < f->rules->nsignals; i++) {
		const struct signal_rule *r = &f->rules->signals[i];

		if (!is_found(f, i) || r->alternatives.n == 0)
			continue;
		if (r->weight < 0 && (!fault || r->weight < fault->weight))
			fault = r;
		if (r->weight >= 0 && (!point || r->weight > point->weight))
			point = r;
	}
	return fault ? &fault->alternatives : point ? &point->alternatives : &band->alternatives;
}

static const char *find_topic(const struct findings *f)
{
	for (size_t i = 0; i < f->rules->ntopics; i++)
		if (f->in_line[f->rules->topics[i].phrases])
			return f->rules->topics[i].topic;
	return NULL;
}

/* Takes up to as many as fit, from a place that the line's words decide; {topic} needs a topic. */
static void choose_alternatives(const struct findings *f, const struct alternatives *from,
				struct arena *arena, struct rubric_rating *out)
{
	const char *topic = find_topic(f);

	for (size_t i = 0; i < from->n && out->nalternatives < RUBRIC_ALTERNATIVES_CAP; i++) {
		const struct alternative *a = &from->at[(f->seed + i) % from->n];

		if (!a->after)
			out->alternatives[out->nalternatives++] = a->before;
		else if (topic)
			out->alternatives[out->nalternatives++] =
				arena_printf(arena, "%s%s%s", a->before, topic, a->after);
	}
}

void rubric_rate(const struct rules *rules, const char *line, const char *customer,
		 struct arena *arena, struct rubric_rating *out)
{
	struct findings f = { .rules = rules };
	const struct band *band;

	read_line(&f, line);
	if (customer)
		read_customer(&f, customer);
	*out = (struct rubric_rating){ .score = find_signals(&f) };
	band = find_band(rules, out->score);
	out->rating = band->rating;
	out->reason = write_reason(&f, band, arena);
	choose_alternatives(&f, find_alternatives(&f, band), arena, out);
}
