/*
 * Any bytes as a rater's reply about a session as a whole, and as what the database has of one.
 * Whatever they are, a reply ends as a whole grade that a second reader finds, too, or as none, and
 * with an outcome that says why; and a session is graded by lines that it has, or not at all.
 */
#include "fuzz.h"
#include "oracle.h"

#include "queue/whole.h"
#include "rater/session_verdict.h"

static char *scale[] = { "excellent", "good" };
static char *speakers[] = { "rep", "user" };

static void check_points(const char *const *points, size_t n)
{
	CHECK(n <= SESSION_POINTS_CAP);
	for (size_t i = 0; i < n; i++) {
		check_text(points[i], SESSION_TEXT_CAP_BYTES);
		CHECK(*points[i]);
	}
}

/* A score out of nowhere is the one thing that must never be. */
static void check_found(const char *reply, int score)
{
	const char *behind = behind_thoughts(reply), *from = behind ? strchr(behind, '{') : NULL;
	struct json_object *answer = from ? parse(from) : NULL, *value = NULL;

	CHECK(json_object_is_type(answer, json_type_object));
	CHECK(json_object_object_get_ex(answer, "score", &value));
	CHECK(!json_object_is_type(value, json_type_string));
	CHECK(json_object_get_double(value) == score);
	CHECK(json_object_object_get_ex(answer, "summary", &value));
	CHECK(json_object_is_type(value, json_type_string));
	CHECK(json_object_object_get_ex(answer, "strengths", &value));
	CHECK(json_object_is_type(value, json_type_array));
	CHECK(json_object_object_get_ex(answer, "improvements", &value));
	CHECK(json_object_is_type(value, json_type_array));
	json_object_put(answer);
}

static void check_verdict(const struct verdict *v, const char *reply)
{
	char digits[8];

	CHECK((v->outcome == OUTCOME_RATED) == (v->grade != NULL));
	CHECK((v->outcome == OUTCOME_RATED) == (v->rating != NULL));
	check_text(v->reason, REASON_CAP_BYTES);
	if (!v->grade) {
		CHECK(v->outcome == OUTCOME_EMPTY || v->outcome == OUTCOME_NOT_JSON ||
		      v->outcome == OUTCOME_NOT_SCHEMA || v->outcome == OUTCOME_UNKNOWN_RATING);
		return;
	}
	CHECK(v->grade->score >= 0 && v->grade->score <= SESSION_SCORE_MAX);
	snprintf(digits, sizeof(digits), "%d", v->grade->score);
	CHECK(strcmp(digits, v->rating) == 0);
	check_text(v->grade->summary, SESSION_TEXT_CAP_BYTES);
	CHECK(*v->grade->summary);
	check_points(v->grade->strengths, v->grade->nstrengths);
	check_points(v->grade->improvements, v->grade->nimprovements);
	check_found(reply, v->grade->score);
}

static void check_whole(const struct job *job, enum whole_state state, const struct err *err)
{
	const struct whole *whole = job->whole;
	size_t nrated = 0;

	CHECK(whole && job->nlines == 1 && job->nrated == 1 && job->lines[0].rated);
	if (state != WHOLE_READY) {
		CHECK(err->text[0] && (state == WHOLE_WAITS || state == WHOLE_WRONG));
		return;
	}
	for (size_t i = 0; i < whole->nlines; i++) {
		CHECK(whole->lines[i].index >= 0);
		CHECK(i == 0 || whole->lines[i - 1].index <= whole->lines[i].index);
		check_text(whole->lines[i].text, SIZE_MAX);
		check_text(whole->lines[i].speaker, NAME_CAP_BYTES);
		check_text(whole->lines[i].rating, SIZE_MAX);
		nrated += *whole->lines[i].rating != '\0';
	}
	CHECK(nrated == whole->nrated);
}

static void read_session(const char *document, const char *data)
{
	struct speakers rated = { .names = speakers, .n = 2 };
	struct job job = { .id = "j", .session_id = "s" };
	struct err err = { .kind = ERR_NONE };
	enum whole_state state;

	state = whole_parse(&job, &rated, document, data, data ? strlen(data) : 0, &err);
	check_whole(&job, state, &err);
	arena_free(&job.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { .rater = { .scale = { scale, 2 } } };
	char *text = strndup((const char *)data, size), *reply = calloc(1, size + 1);
	struct arena arena = { 0 };
	struct verdict v;

	memset(&v, 0xee, sizeof(v));
	session_verdict_read((const char *)data, size, &config, &arena, &v);
	add_bytes(reply, (const char *)data, size);
	check_verdict(&v, reply);
	read_session(text, size % 2 ? text : NULL);
	read_session("{\"status\": \"completed\", \"bytes\": 5, \"lines\": [[3, \"Hello\", \"good\", "
		     "null]]}", text);
	arena_free(&arena);
	free(reply);
	free(text);
	return 0;
}
