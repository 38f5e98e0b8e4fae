/*
 * Any bytes as a rater's reply. Whatever they are, each line ends with a rating of the scale itself
 * or with an outcome that says why not, every text is harmless, and a second reader finds each
 * rating, too.
 */
#include "fuzz.h"
#include "oracle.h"

#include "rater/verdict.h"

#define N 5

static char *scale[] = { "excellent", "good", "poor", "missed_opportunity" };
static const struct line lines[N] = {
	{ .index = 2147483647 }, { .index = 0 }, { .index = 12 }, { .index = 1 }, { .index = 2 },
};
static const struct line *const asked[N] = { &lines[0], &lines[1], &lines[2], &lines[3],
					     &lines[4] };

static bool is_of_the_scale(const char *rating)
{
	for (size_t i = 0; i < sizeof(scale) / sizeof(scale[0]); i++)
		if (rating == scale[i])
			return true;
	return false;
}

static void check_harmless(const char *text, size_t cap_bytes)
{
	check_text(text, cap_bytes);
	for (const char *p = text; *p; p++) {
		CHECK((unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t');
		CHECK(*p != 0x7f);
		CHECK((unsigned char)p[0] != 0xc2 || (unsigned char)p[1] >= 0xa0);	/* C1 */
	}
}

static void check_verdict(const struct verdict *v, size_t alternatives_cap)
{
	CHECK(v->outcome > OUTCOME_PENDING && v->outcome < OUTCOME_COUNT);
	CHECK((v->outcome == OUTCOME_RATED) == is_of_the_scale(v->rating));
	CHECK(v->outcome == OUTCOME_RATED || (!v->rating && !v->nalternatives && !*v->reason));
	CHECK(v->nalternatives <= alternatives_cap && v->nalternatives <= ALTERNATIVES_CAP);
	for (size_t i = 0; i < v->nalternatives; i++) {
		check_harmless(v->alternatives[i], ALTERNATIVE_CAP_BYTES);
		CHECK(*v->alternatives[i]);
	}
	check_harmless(v->reason, REASON_CAP_BYTES);
}

/* A rating out of nowhere is the one thing that must never be. */
static void check_found(const char *reply, const struct verdict *verdicts)
{
	for (size_t i = 0; i < N; i++)
		if (verdicts[i].outcome == OUTCOME_RATED)
			CHECK(oracle_rates(reply, asked[i]->index, verdicts[i].rating, false));
}

static void check_cut(const char *reply, size_t len)
{
	const char *start;
	size_t rest = verdict_find_cut(reply, len, &start);

	CHECK(rest <= len && start >= reply && start + rest <= reply + len);
	CHECK(rest == 0 || *start == '{');
}

/* An outcome of the whole reply is every line's, and nothing else is. */
static void check_whole(const struct verdict *verdicts, size_t stray)
{
	enum outcome first = verdicts[0].outcome;
	bool whole = first == OUTCOME_EMPTY || first == OUTCOME_NOT_JSON ||
		first == OUTCOME_NOT_SCHEMA || first == OUTCOME_UNKNOWN_LINE;

	for (size_t i = 0; i < N; i++) {
		enum outcome o = verdicts[i].outcome;

		CHECK(whole ? o == first : o == OUTCOME_RATED || o == OUTCOME_MISSING ||
		      o == OUTCOME_UNKNOWN_RATING || o == OUTCOME_DUPLICATE);
	}
	CHECK(!whole || (stray > 0) == (first == OUTCOME_UNKNOWN_LINE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { .rater = { .scale = { scale, 4 }, .alternatives = size % 13 } };
	struct verdict verdicts[N], given;
	struct arena arena = { 0 };
	char *text = strndup((const char *)data, size), *whole;
	const char *alternatives[] = { text, NULL, text };
	size_t stray;

	memset(verdicts, 0xee, sizeof(verdicts));
	stray = verdict_read((const char *)data, size, &config, asked, N, &arena, verdicts);
	CHECK(stray <= size);
	for (size_t i = 0; i < N; i++)
		check_verdict(&verdicts[i], size % 13);
	check_whole(verdicts, stray);
	whole = calloc(1, size + 1);
	add_bytes(whole, (const char *)data, size);
	check_found(whole, verdicts);
	free(whole);
	check_cut((const char *)data, size);

	verdict_give(&given, &config, &arena, size % 2 ? "good" : text, alternatives, 3, text);
	check_verdict(&given, size % 13);
	free(text);
	arena_free(&arena);
	return 0;
}
