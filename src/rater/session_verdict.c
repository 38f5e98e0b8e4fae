/*
 * The other place where bytes become grades: that of a session as a whole. Pure, runs in workers.
 * It has no default, corrects nothing and adds nothing: a score that is no whole number from 0 to
 * 100, a part that is missing or of another kind, and there is no grade.
 */
#include "rater/session_verdict.h"

#include <inttypes.h>

#include "reply_text.h"

#define LIST_CAP 100		/* a list of more points has lost its thread */

/* One grade on its way. */
struct reading {
	const struct config *config;
	struct arena *arena;
	struct session_grade *grade;
	enum outcome outcome;		/* RATED as long as nothing is wrong */
	const char *why;
};

/* Nothing is known of the others from the first on. Returns false. */
static bool refuse(struct reading *r, enum outcome outcome, const char *why)
{
	r->outcome = outcome;
	r->why = why;
	return false;
}

static const char *copy(const struct reading *r, struct span text)
{
	return text.text ? reply_copy_words(r->config, r->arena, text, SESSION_TEXT_CAP_BYTES) : "";
}

static bool take_score(struct reading *r, int64_t score)
{
	if (score < 0 || score > SESSION_SCORE_MAX)
		return refuse(r, OUTCOME_UNKNOWN_RATING,
			      arena_printf(r->arena, "its score is %" PRId64 ", and not from 0 to "
					   "%d", score, SESSION_SCORE_MAX));
	r->grade->score = (int)score;
	return true;
}

static bool take_summary(struct reading *r, struct span text)
{
	r->grade->summary = copy(r, text);
	return *r->grade->summary ||
	       refuse(r, OUTCOME_NOT_SCHEMA, "its summary has no words, or quotes a secret");
}

/* What is blank, or quotes a secret, is no point. */
static void take_point(const struct reading *r, const char **points, size_t *n, struct span text)
{
	const char *point = *n < SESSION_POINTS_CAP ? copy(r, text) : "";

	if (*point)
		points[(*n)++] = point;
}

static void end_reading(const struct reading *r, struct verdict *v)
{
	*v = (struct verdict){ .outcome = r->outcome, .reason = r->why };
	if (r->outcome != OUTCOME_RATED)
		return;
	v->grade = r->grade;
	v->rating = arena_printf(r->arena, "%d", r->grade->score);
}

static struct reading begin(const struct config *config, struct arena *arena)
{
	return (struct reading){
		.config = config, .arena = arena, .outcome = OUTCOME_RATED, .why = "",
		.grade = arena_alloc(arena, sizeof(struct session_grade)),
	};
}

void session_verdict_give(struct verdict *v, const struct config *config, struct arena *arena,
			  int64_t score, const char *summary, const char *const *strengths,
			  size_t nstrengths, const char *const *improvements, size_t nimprovements)
{
	struct reading r = begin(config, arena);
	struct session_grade *grade = r.grade;

	if (take_score(&r, score) && take_summary(&r, reply_span(summary))) {
		for (size_t i = 0; i < nstrengths; i++)
			take_point(&r, grade->strengths, &grade->nstrengths,
				   reply_span(strengths[i]));
		for (size_t i = 0; i < nimprovements; i++)
			take_point(&r, grade->improvements, &grade->nimprovements,
				   reply_span(improvements[i]));
	}
	end_reading(&r, v);
}

/* ---- replies ---- */

/* "85" and 84.5 are no whole numbers, and nobody knows what was meant by them. */
static bool read_score(struct reading *r, struct json_object *value)
{
	int64_t score;

	if (!json_object_is_type(value, json_type_int) &&
	    !json_object_is_type(value, json_type_double))
		return refuse(r, OUTCOME_NOT_SCHEMA, "its score is missing, or no number");
	if (!json_strict_integer(value, INT64_MIN, INT64_MAX, &score))
		return refuse(r, OUTCOME_UNKNOWN_RATING, "its score is no whole number");
	return take_score(r, score);
}

static bool read_points(struct reading *r, struct json_object *list, const char *name,
			const char **points, size_t *n)
{
	bool is_list = json_object_is_type(list, json_type_array);

	for (size_t i = 0; is_list && i < json_object_array_length(list); i++) {
		struct json_object *point = json_object_array_get_idx(list, i);

		is_list = i < LIST_CAP && json_object_is_type(point, json_type_string);
		if (is_list)
			take_point(r, points, n, reply_span_of_json(point));
	}
	return is_list || refuse(r, OUTCOME_NOT_SCHEMA,
				 arena_printf(r->arena, "its %s are no list of texts", name));
}

static void read_grade(struct reading *r, struct json_object *reply)
{
	struct session_grade *grade = r->grade;

	if (!json_object_is_type(reply, json_type_object)) {
		refuse(r, OUTCOME_NOT_SCHEMA, "it is no object");
		return;
	}
	if (read_score(r, json_object_object_get(reply, "score")) &&
	    take_summary(r, reply_span_of_json(json_object_object_get(reply, "summary"))) &&
	    read_points(r, json_object_object_get(reply, "strengths"), "strengths",
			grade->strengths, &grade->nstrengths))
		read_points(r, json_object_object_get(reply, "improvements"), "improvements",
			    grade->improvements, &grade->nimprovements);
}

void session_verdict_read(const char *reply, size_t len, const struct config *config,
			  struct arena *arena, struct verdict *v)
{
	struct span s = reply_unwrap((struct span){ reply, len }, false);
	struct reading r = begin(config, arena);
	struct json_object *object;
	const char *why;

	if (s.len == 0) {
		refuse(&r, OUTCOME_EMPTY, "");
	} else if (json_strict_parse(s.text, s.len, &object, &why) == -1) {
		refuse(&r, OUTCOME_NOT_JSON, "");
	} else {
		if (reply_has_odd_keys(s, object))
			refuse(&r, OUTCOME_NOT_SCHEMA, "it has a key twice");
		else
			read_grade(&r, object);
		json_object_put(object);
	}
	end_reading(&r, v);
}
