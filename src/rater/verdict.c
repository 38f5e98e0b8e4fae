/*
 * The one place where bytes become grades; pure, runs in workers. It has no default grade: what is
 * not exactly a rating of the scale, for a line asked about, ends as an outcome that says why.
 */
#include "rater/verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lib/json_strict.h"
#include "scoreboard/breadcrumb.h"
#include "reply_text.h"

size_t verdict_find_cut(const char *reply, size_t len, const char **start)
{
	struct span s = reply_unwrap((struct span){ reply, len }, true);

	*start = s.text;
	return reply_begins_with(s, "{") ? s.len : 0;
}

/* Never matched loosely: "Good." or "goo" may be anything, "good" is a grade. */
static const char *scale_find(const struct string_list *scale, struct span s)
{
	s = reply_trim(s);
	for (size_t i = 0; s.text && i < scale->n; i++)
		if (strlen(scale->items[i]) == s.len && memcmp(scale->items[i], s.text, s.len) == 0)
			return scale->items[i];
	return NULL;
}

static size_t alternatives_cap(const struct config *config)
{
	int64_t n = config->rater.alternatives;

	return n < 0 ? 0 : n > ALTERNATIVES_CAP ? ALTERNATIVES_CAP : (size_t)n;
}

static void add_alternative(struct verdict *v, const struct config *config, struct arena *arena,
			    struct span s)
{
	size_t cap = alternatives_cap(config);
	const char *text;

	if (v->nalternatives == cap)
		return;
	text = reply_copy_words(config, arena, s, ALTERNATIVE_CAP_BYTES);
	if (!*text)
		return;
	if (!v->alternatives)
		v->alternatives = arena_alloc(arena, cap * sizeof(*v->alternatives));
	v->alternatives[v->nalternatives++] = text;
}

/* Sets *v to RATED, or to UNKNOWN_RATING and returns false. */
static bool rate(struct verdict *v, const struct config *config, struct arena *arena,
		 struct span rating, struct span reason)
{
	const char *found = scale_find(&config->rater.scale, rating);

	if (!found) {
		verdict_all(v, 1, OUTCOME_UNKNOWN_RATING);
		return false;
	}
	*v = (struct verdict){
		.outcome = OUTCOME_RATED,
		.rating = found,
		.reason = reply_copy_words(config, arena, reason, REASON_CAP_BYTES),
	};
	return true;
}

void verdict_all(struct verdict *verdicts, size_t n, enum outcome outcome)
{
	if (outcome == OUTCOME_RATED)
		fatal("a verdict was to be rated without a rating");
	for (size_t i = 0; i < n; i++)
		verdicts[i] = (struct verdict){ .outcome = outcome, .reason = "" };
}

void verdict_refused(struct verdict *verdicts, size_t n, struct arena *arena, const char *words)
{
	const char *copy = reply_copy_text(arena, reply_span(words), REASON_CAP_BYTES);

	verdict_all(verdicts, n, OUTCOME_REFUSED);
	for (size_t i = 0; i < n; i++)
		verdicts[i].reason = copy;
}

void verdict_give(struct verdict *v, const struct config *config, struct arena *arena,
		  const char *rating, const char *const *alternatives, size_t n, const char *reason)
{
	if (!rate(v, config, arena, reply_span(rating), reply_span(reason)))
		return;
	for (size_t i = 0; i < n; i++)
		add_alternative(v, config, arena, reply_span(alternatives[i]));
}

static void give_json(struct verdict *v, const struct config *config, struct arena *arena,
		      struct json_object *element)
{
	struct span rating = reply_span_of_json(json_object_object_get(element, "rating"));
	struct span reason = reply_span_of_json(json_object_object_get(element, "reason"));
	struct json_object *list = json_object_object_get(element, "alternatives");

	if (!rate(v, config, arena, rating, reason) || !json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		add_alternative(v, config, arena, reply_span_of_json(json_object_array_get_idx(list, i)));
}

/* Where the verdict of a line index is; sorted, so that a long reply for many lines stays cheap. */
struct place { int64_t index; struct verdict *verdict; };

static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	return a->index < b->index ? -1 : a->index > b->index;
}

/* Some models write numbers as strings: taken when it is just how we would write it. */
static bool read_number(struct json_object *value, int64_t *number)
{
	struct span s = reply_span_of_json(value);
	char again[24];

	if (!s.text)
		return json_strict_integer(value, INT64_MIN, INT64_MAX, number);
	if (s.len >= sizeof(again))
		return false;
	*number = strtoll(s.text, NULL, 10);
	snprintf(again, sizeof(again), "%" PRId64, *number);
	return strlen(again) == s.len && memcmp(again, s.text, s.len) == 0;
}

/* NULL when it is for no line asked about; *numbered: but it does name a line. */
static struct verdict *find_place(struct json_object *element, const struct place *places, size_t n,
				  bool *numbered)
{
	struct place *found, wanted;

	*numbered = json_object_is_type(element, json_type_object) &&
		read_number(json_object_object_get(element, "line"), &wanted.index);
	if (!*numbered)
		return NULL;
	found = bsearch(&wanted, places, n, sizeof(*places), compare_places);
	return found ? found->verdict : NULL;
}

static bool any_missing(const struct place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (places[i].verdict->outcome == OUTCOME_MISSING)
			return true;
	return false;
}

static size_t read_ratings(struct json_object *ratings, const struct config *config,
			   const struct line *const *lines, struct arena *arena,
			   const struct place *places, const struct verdict *verdicts, size_t n)
{
	bool numbered, unknown_line = false, in_place = true;
	size_t stray = 0;

	for (size_t i = 0; i < json_object_array_length(ratings); i++) {
		struct json_object *element = json_object_array_get_idx(ratings, i);
		struct verdict *v = find_place(element, places, n, &numbered);

		in_place &= !v || (size_t)(v - verdicts) == i;
		if (!v) {
			stray++;
			unknown_line |= numbered;
		} else if (v->outcome == OUTCOME_MISSING) {
			breadcrumb_line((int32_t)lines[v - verdicts]->index);
			give_json(v, config, arena, element);
		} else {	/* though both agree: a reply that repeats itself lost its thread */
			verdict_all(v, 1, OUTCOME_DUPLICATE);
		}
	}
	/*
	 * It may have numbered the lines from 1, or by itself: then 12's rating stands under 3, or
	 * under 13. So also where what is left over has no number at all, and the others do not
	 * stand where they were asked about.
	 */
	if ((unknown_line || (stray > 0 && !in_place)) && any_missing(places, n))
		for (size_t i = 0; i < n; i++)
			verdict_all(places[i].verdict, 1, OUTCOME_UNKNOWN_LINE);
	return stray;
}

static size_t read_object(struct json_object *reply, const struct config *config,
			  const struct line *const *lines, size_t n, struct arena *arena,
			  struct verdict *verdicts)
{
	struct json_object *ratings = NULL;
	struct place *places;
	size_t stray;

	if (json_object_is_type(reply, json_type_object))
		ratings = json_object_object_get(reply, "ratings");
	if (!json_object_is_type(ratings, json_type_array)) {
		verdict_all(verdicts, n, OUTCOME_NOT_SCHEMA);
		return 0;
	}
	verdict_all(verdicts, n, OUTCOME_MISSING);
	places = xcalloc(n, sizeof(*places));
	for (size_t i = 0; i < n; i++)
		places[i] = (struct place){ lines[i]->index, &verdicts[i] };
	qsort(places, n, sizeof(*places), compare_places);
	stray = read_ratings(ratings, config, lines, arena, places, verdicts, n);
	free(places);
	return stray;
}

size_t verdict_read(const char *reply, size_t len, const struct config *config,
		    const struct line *const *lines, size_t n, struct arena *arena,
		    struct verdict *verdicts)
{
	struct span s = reply_unwrap((struct span){ reply, len }, false);
	struct json_object *object;
	const char *why;
	size_t stray;

	if (s.len == 0 || json_strict_parse(s.text, s.len, &object, &why) == -1) {
		verdict_all(verdicts, n, s.len ? OUTCOME_NOT_JSON : OUTCOME_EMPTY);
		return 0;
	}
	if (reply_has_odd_keys(s, object)) {
		verdict_all(verdicts, n, OUTCOME_NOT_SCHEMA);
		stray = 0;
	} else {
		stray = read_object(object, config, lines, n, arena, verdicts);
	}
	json_object_put(object);
	return stray;
}
