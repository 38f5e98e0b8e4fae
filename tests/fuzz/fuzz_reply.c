/*
 * Any bytes as a provider's answer. The input's first line is "END STATUS" (enum http_end, HTTP
 * status), the rest is the body. Either the call failed with a clean sentence, or each line has a
 * rating of the scale or an outcome; and our key is never quoted.
 */
#include "fuzz.h"

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
	check_used(&ask);
	free(body);
	free(text);
	arena_free(&job.arena);
	return 0;
}
