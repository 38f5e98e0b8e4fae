/*
 * Fuzzes the rubric file: any bytes load or are refused with a reason, and what loads rates any
 * line, twice the same. Build: clang -fsanitize=fuzzer,address,undefined with src/rules.c,
 * rubric.c, pattern.c, words.c, arena.c, buf.c, err.c, log.c, clock.c and -lconfig; seeds are in
 * corpus/rubric/.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rubric/rubric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/*
 * libconfig loses a string it was reading when it meets a syntax error; nothing of ours may leak.
 */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void rate_twice(const struct rules *rules, const char *line, const char *customer)
{
	struct rubric_rating a, b;
	struct arena arena = { 0 };

	rubric_rate(rules, line, customer, &arena, &a);
	rubric_rate(rules, line, customer, &arena, &b);
	if (a.score != b.score || a.rating != b.rating || strcmp(a.reason, b.reason) != 0 ||
	    a.nalternatives != b.nalternatives || a.nalternatives > RUBRIC_ALTERNATIVES_CAP)
		abort();
	for (size_t i = 0; i < a.nalternatives; i++)
		if (strcmp(a.alternatives[i], b.alternatives[i]) != 0)
			abort();
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *names[] = { "excellent", "good", "poor", "missed_opportunity" };
	const struct string_list scale = { names, 4 };
	char *text = malloc(size + 1);
	struct err err = { 0 };
	struct rules *rules;

	memcpy(text, data, size);
	text[size] = '\0';
	rules = rules_load(text, size, "fuzz", &scale, &err);
	if (!rules && (err.kind != ERR_CONFIG || strncmp(err.text, "fuzz:", 5) != 0))
		abort();
	if (rules) {
		rate_twice(
			rules,
			"So, how about $5 a month? You'd save 20% \xe2\x80\x93 what do you think?",
			NULL);
		rate_twice(rules, text, text);	/* the rubric's own phrases, found in itself */
	}
	rules_free(rules);
	free(text);
	return 0;
}
