/*
 * Any bytes as a provider's answer. The input's first line is "END STATUS" (enum http_end, HTTP
 * status), the rest is the body. Either the call failed with a clean sentence, or each line has a
 * rating of the scale or an outcome; a second reader finds each rating in the model's last words;
 * and our key is never quoted.
 */
#include "fuzz.h"
#include "oracle.h"

#include "rater/openai_reply.h"

#define N 5
#define KEY "sk-fuzz"

static char *scale[] = { "excellent", "good", "poor", "missed_opportunity" };
static char key[] = KEY;
static const struct config config = {
	.rater = { .scale = { scale, 4 }, .alternatives = 3 }, .openai = { .api_key = key },
};
static const struct line lines[N] = {
	{ .index = 0 }, { .index = 1 }, { .index = 2 }, { .index = 12 }, { .index = 2147483647 },
};
static const struct line *asked[N] = { &lines[0], &lines[1], &lines[2], &lines[3], &lines[4] };

static void check_words(const char *text, size_t cap_bytes)
{
	check_text(text, cap_bytes);
	for (const char *p = text; *p; p++)
		CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	CHECK(!strstr(text, KEY));
}

static bool is_of_the_scale(const char *rating)
{
	for (size_t i = 0; i < sizeof(scale) / sizeof(scale[0]); i++)
		if (rating == scale[i])
			return true;
	return false;
}

static void check_failed(const struct ask *ask)
{
	enum err_kind kind = ask->err->kind;

	CHECK(kind == ERR_RETRY || kind == ERR_UNCLEAR || kind == ERR_PERMANENT ||
	      err_is_outside(kind));
	CHECK(ask->err->after_ms >= 0 && ask->err->after_ms <= OPENAI_AFTER_CAP_MS);
	CHECK(*ask->err->text);
	check_words(ask->err->text, sizeof(ask->err->text) - 1);
	for (size_t i = 0; i < ask->nlines; i++)
		CHECK(ask->verdicts[i].outcome == OUTCOME_PENDING);
}

static void check_answered(const struct ask *ask, const struct http_reply *reply)
{
	bool success = reply->status >= 200 && reply->status < 300;

	CHECK(reply->end == HTTP_ANSWERED || reply->end == HTTP_OVERSIZED);
	for (size_t i = 0; i < ask->nlines; i++) {
		const struct verdict *v = &ask->verdicts[i];

		CHECK(v->outcome > OUTCOME_PENDING && v->outcome < OUTCOME_FAILED);
		CHECK(success || v->outcome == OUTCOME_REFUSED);	/* by an error */
		if (v->outcome == OUTCOME_REFUSED)
			check_words(v->reason, REASON_CAP_BYTES);
		CHECK((v->outcome == OUTCOME_RATED) == is_of_the_scale(v->rating));
		CHECK(v->outcome != OUTCOME_RATED || reply->end == HTTP_ANSWERED);
		CHECK(!strstr(v->reason, KEY));
		for (size_t k = 0; k < v->nalternatives; k++)
			CHECK(!strstr(v->alternatives[k], KEY));
	}
}

/* ---- the model's words, as another reader finds them in the envelope ---- */

static struct json_object *get(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, name, &value);
	return value;
}

static struct json_object *first_of(struct json_object *array)
{
	bool any = json_object_is_type(array, json_type_array) &&
		json_object_array_length(array) > 0;

	return any ? json_object_array_get_idx(array, 0) : NULL;
}

static void add_string(char *words, struct json_object *text)
{
	if (json_object_is_type(text, json_type_string))
		add_bytes(words, json_object_get_string(text),
			  (size_t)json_object_get_string_len(text));
}

/* Appends what a content says: a string, or its parts that are text. */
static void add_words(char *words, struct json_object *content)
{
	size_t n = json_object_is_type(content, json_type_array) ? json_object_array_length(content)
								 : 0;

	add_string(words, content);
	for (size_t i = 0; i < n; i++) {
		struct json_object *part = json_object_array_get_idx(content, i);
		struct json_object *type = get(part, "type");
		const char *name = json_object_is_type(type, json_type_string) ?
			json_object_get_string(type) : "";

		if (strcmp(name, "text") == 0 || strcmp(name, "output_text") == 0)
			add_string(words, get(part, "text"));
	}
}

static void add_event(char *words, char *event)
{
	struct json_object *chunk = parse(event), *choices = get(chunk, "choices");
	size_t n = json_object_is_type(choices, json_type_array) ? json_object_array_length(choices)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *choice = json_object_array_get_idx(choices, i);
		struct json_object *index = get(choice, "index");
		bool other = (json_object_is_type(index, json_type_int) ||
			      json_object_is_type(index, json_type_double)) &&
			json_object_get_int64(index) != 0;

		if (!other)
			add_words(words, get(get(choice, "delta"), "content"));
	}
	json_object_put(chunk);
	event[0] = '\0';
}

/* Of a stream, what the first choice says. */
static void add_stream(char *words, const char *body)
{
	char *event = calloc(1, strlen(body) + 1);

	while (*body) {
		size_t len = strcspn(body, "\n");
		size_t rest = len > 0 && body[len - 1] == '\r' ? len - 1 : len;

		if (rest == 0)
			add_event(words, event);
		if (rest >= 5 && strncmp(body, "data:", 5) == 0) {
			size_t skip = rest > 5 && body[5] == ' ' ? 6 : 5;

			if (*event)
				strcat(event, "\n");
			add_bytes(event, body + skip, rest - skip);
		}
		body += len + (body[len] == '\n');
	}
	add_event(words, event);
	free(event);
}

static void check_found(const struct ask *ask, const struct http_reply *reply)
{
	size_t mark = strncmp(reply->body, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	struct json_object *root = parse(reply->body + mark);
	char *words = calloc(1, reply->len + 1);

	if (get(root, "choices"))
		add_words(words, get(get(first_of(get(root, "choices")), "message"), "content"));
	else
		add_stream(words, reply->body);
	for (size_t i = 0; i < ask->nlines; i++)
		if (ask->verdicts[i].outcome == OUTCOME_RATED)
			CHECK(oracle_rates(words, ask->lines[i]->index, ask->verdicts[i].rating,
					   true));
	free(words);
	json_object_put(root);
}

/* ---- the rest of an answer ---- */

static void check_refused_field(const struct http_reply *reply)
{
	static const char *const fields[] = { "response_format", "temperature", "seed" };
	char words[101] = "";
	size_t found = openai_refused_field(reply, &config, fields, 3, words, sizeof(words));

	CHECK(found <= 3);
	check_words(words, sizeof(words) - 1);
	CHECK(found == 3 || reply->status >= 400);
}

static void check_used(const struct ask *ask)
{
	if (ask->used.model)
		check_words(ask->used.model, OPENAI_MODEL_CAP_BYTES);
	CHECK(ask->used.prompt_tokens >= 0 && ask->used.prompt_tokens <= 10000000);
	CHECK(ask->used.completion_tokens >= 0 && ask->used.completion_tokens <= 10000000);
	CHECK(ask->used.calls == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verdict verdicts[N];
	struct job job = { 0 };
	struct ask ask = { .job = &job, .lines = asked, .nlines = N, .verdicts = verdicts };
	struct http_reply reply = { .body = "", .detail = "it broke" };
	char *text = strndup((const char *)data, size), *body = NULL;
	size_t first_line = strcspn(text, "\n");
	unsigned end = 0;

	sscanf(text, "%u %3d", &end, &reply.status);
	reply.end = end % (HTTP_BROKEN + 1);
	reply.retry_after_ms = (int64_t)size * 1000;
	if (reply.end == HTTP_ANSWERED && first_line < size) {
		reply.len = size - first_line - 1;
		reply.body = body = calloc(1, reply.len + 1);
		memcpy(body, data + first_line + 1, reply.len);
	}
	verdict_all(verdicts, N, OUTCOME_PENDING);
	openai_read_reply(&reply, &config, &ask);
	if (ask.err)
		check_failed(&ask);
	else
		check_answered(&ask, &reply);
	if (!ask.err && reply.end == HTTP_ANSWERED)
		check_found(&ask, &reply);
	check_refused_field(&reply);
	check_used(&ask);
	free(body);
	free(text);
	arena_free(&job.arena);
	return 0;
}
