/*
 * The rubric: what it refuses to load, what it finds in a line, and that it is the same every time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "rubric/rubric.h"

static char *ratings[] = { "excellent", "good", "poor", "missed_opportunity" };
static const struct string_list scale = { ratings, 4 };
static struct rules *embedded;

#define BANDS \
	"ratings = ( { rating = \"good\"; from = 1; reason = \"fine\"; },\n" \
	"  { rating = \"poor\"; reason = \"nothing found\"; alternatives = [ \"What else?\" ]; " \
	"} );\n"

static struct rules *load(const char *text, struct err *err)
{
	return rules_load(text, strlen(text), "r.conf", &scale, err);
}

/* Loads bands with one signal of these phrases and keys. */
static struct rules *load_signal(const char *keys)
{
	char text[2000];
	struct err err = { 0 };
	struct rules *rules;

	snprintf(text, sizeof(text),
		 BANDS "signals = ( { name = \"s\"; weight = 5; reason = \"it is there\"; %s } );",
		 keys);
	rules = load(text, &err);
	if (!rules)
		fail_msg("%s", err.text);
	return rules;
}

static bool finds(const struct rules *rules, const char *line, const char *customer)
{
	struct rubric_rating rating;
	struct arena arena = { 0 };
	bool found;

	rubric_rate(rules, line, customer, &arena, &rating);
	found = rating.score == 5;
	assert_string_equal(rating.rating, found ? "good" : "poor");
	assert_string_equal(rating.reason, found ? "it is there" : "nothing found");
	arena_free(&arena);
	return found;
}

/* One phrase, a line that holds it, and one that does not. */
static void test_phrases(void **state)
{
	static const struct { const char *phrase, *with, *without; } cases[] = {
		{ "what if", "And what if it rains?", "What. If it rains" },
		{ "What IF", "WHAT IF?", "whatif" },
		{ "don't know", "I don\u2019t know", "I do not know" },
		{ "don't know", "i dont know", "i done know" },
		{ "we'll", "We'll see.", "Well, see." },
		{ "save*", "it saved us", "is it safe" },
		{ "sav*|help*", "that's helpful", "that's kelp" },
		{ "cut * bill", "cut your bill", "cut the power bill" },
		{ "cut ... bill", "cut your huge power bill", "cut all of your power bill" },
		{ "cut ... bill", "cut bill", "cut. bill" },
		{ "so ... you ... save", "so that you really can save", "you save so" },
		{ "pay $", "you pay $1,200.50 now", "you pay 1200 now" },
		{ "pay $", "you pay \u20ac5", "you pay" },
		{ "about %", "about 20% less", "about 20 less" },
		{ "in # days", "in 3 days", "in three days" },
		{ "in # days", "in 24/7 days", "in days" },
		{ "at 9:30", "come at 9:30.", "come at 9. 30" },
		{ "^how", "Fine \u2013 how are you", "Tell me how it is" },
		{ "^how", "So, how is it", "And now so how" },
		{ "you ?", "Are you in? Good.", "You are in. Good?" },
		{ "you ?", "are you!?", "are you!" },
		{ "caf\u00e9", "the caf\u00e9 \u2615 downstairs", "the cafe downstairs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char keys[200];
		struct rules *rules;

		snprintf(keys, sizeof(keys), "phrases = [ \"%s\" ];", cases[i].phrase);
		rules = load_signal(keys);
		if (!finds(rules, cases[i].with, NULL) || finds(rules, cases[i].without, NULL))
			fail_msg("phrase \"%s\": \"%s\", \"%s\"", cases[i].phrase, cases[i].with,
				 cases[i].without);
		rules_free(rules);
	}
}

static void test_openers_do_not_count(void **state)
{
	struct err err = { 0 };
	struct rules *rules = load(
		BANDS "openers = [ \"so\", \"well\" ];\n signals = ( { name = \"s\"; "
		      "weight = 5; reason = \"it is there\"; phrases = [ \"^how\" ]; } );",
		&err);

	(void)state;
	assert_non_null(rules);
	assert_true(finds(rules, "So well how is it", NULL));
	assert_false(finds(rules, "It is so how", NULL));
	rules_free(rules);
}

static void test_conditions(void **state)
{
	static const struct { const char *keys, *with, *without; } cases[] = {
		{ "min_words = 3;", "one two three", "one two" },
		{ "max_words = 2;", "one two", "one two three" },
		{ "question = true;", "really?", "really." },
		{ "question = false;", "really.", "Fine. really?" },
		{ "phrases = [ \"cost\" ]; except = [ \"no cost\" ];", "the cost", "at no cost" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules *rules = load_signal(cases[i].keys);

		assert_true(finds(rules, cases[i].with, NULL));
		assert_false(finds(rules, cases[i].without, NULL));
		rules_free(rules);
	}
}

static void test_customer_counts_only_when_known(void **state)
{
	struct rules *rules = load_signal("customer = [ \"too expensive\" ];");

	(void)state;
	assert_true(finds(rules, "Okay.", "That's too expensive."));
	assert_false(finds(rules, "Okay.", "How nice."));
	assert_false(finds(rules, "too expensive", NULL));
	rules_free(rules);
}

static void test_signals_refer_to_signals(void **state)
{
	struct err err = { 0 };
	struct rules *rules = load(
		BANDS
		"signals = ( { name = \"a\"; weight = 0; phrases = [ \"aa\" ]; },\n"
		"{ name = \"b\"; weight = 2; reason = \"with\"; with = [ \"a\" ]; },\n"
		"{ name = \"c\"; weight = -3; reason = \"without\"; without = [ \"a\", \"b\" ]; "
		"} );",
		&err);
	struct rubric_rating rating;
	struct arena arena = { 0 };

	(void)state;
	assert_non_null(rules);
	rubric_rate(rules, "aa", NULL, &arena, &rating);
	assert_int_equal(rating.score, 2);
	assert_string_equal(rating.reason, "with");
	rubric_rate(rules, "bb", NULL, &arena, &rating);
	assert_int_equal(rating.score, -3);
	assert_string_equal(rating.reason, "without");
	arena_free(&arena);
	rules_free(rules);
}

static void test_topics(void **state)
{
	struct err err = { 0 };
	struct rules *rules = load(
		BANDS
		"topics = ( { topic = \"your roof\"; phrases = [ \"roof*\" ]; } );\n"
		"signals = ( { name = \"s\"; weight = 5; reason = \"r\"; phrases = [ \"old\" ];\n"
		"alternatives = [ \"What about {topic} then?\", \"Really?\" ]; } );",
		&err);
	struct rubric_rating rating;
	struct arena arena = { 0 };

	(void)state;
	assert_non_null(rules);
	rubric_rate(rules, "an old house", NULL, &arena, &rating);
	assert_int_equal(rating.nalternatives, 1);
	assert_string_equal(rating.alternatives[0], "Really?");
	rubric_rate(rules, "these roofs are old", NULL, &arena, &rating);
	assert_int_equal(rating.nalternatives, 2);
	assert_true(strcmp(rating.alternatives[0], "What about your roof then?") == 0 ||
		    strcmp(rating.alternatives[1], "What about your roof then?") == 0);
	rubric_rate(rules, "nothing", NULL, &arena, &rating);
	assert_int_equal(rating.nalternatives, 1);
	assert_string_equal(rating.alternatives[0], "What else?");
	arena_free(&arena);
	rules_free(rules);
}

#define SIGNAL(keys) BANDS "signals = (\n{ " keys " } );"
#define WHOLE_SIGNAL "name = \"s\"; weight = 1; reason = \"r\"; "

/* BANDS are two lines, so the signal of SIGNAL() is on line 4. */
static const struct { const char *text, *error; } mistakes[] = {
	{ "", "r.conf:1: a rubric needs ratings and signals" },
	{ BANDS, "a rubric needs ratings and signals" },
	{ BANDS "signals = (", "r.conf:3: syntax error" },
	{ "@include \"/etc/passwd\"\n", "r.conf:1: a rubric cannot include other files" },
	{ "# fine\n\t @include \"x\"\n", "r.conf:2: a rubric cannot include" },
	{ "colour = 1;", "r.conf:1: unknown key \"colour\"" },
	{ "ratings = 5;", "r.conf:1: ratings must be a list" },
	{ "ratings = ();", "r.conf:1: ratings is empty" },
	{ "ratings = ( 1 );", "r.conf:1: ratings must hold groups" },
	{ "ratings = ( { rating = \"superb\"; reason = \"r\"; } );",
	  "\"superb\" is not in rater.scale" },
	{ "ratings = ( { rating = \"good\"; } );", "\"good\" has no reason" },
	{ "ratings = ( { from = 1; reason = \"r\"; } );", "has no rating" },
	{ "ratings = ( { rating = \"good\"; reason = \"r\"; from = 1; } );",
	  "the last rating takes all" },
	{ "ratings = ( { rating = \"good\"; reason = \"r\"; },\n{ rating = \"poor\"; reason = "
	  "\"r\"; } );",
	  "r.conf:1: only the last rating" },
	{ "ratings = ( { rating = \"good\"; reason = \"r\"; from = 1; },\n"
	  "{ rating = \"poor\"; reason = \"r\"; from = 1; },\n{ rating = \"excellent\"; reason "
	  "= \"r\"; } );",
	  "r.conf:2: the from of \"poor\" is not below" },
	{ "ratings = ( { rating = \"good\"; reason = \"r\"; from = 1; },\n{ rating = \"good\"; "
	  "reason = \"r\"; } );",
	  "r.conf:2: the rating \"good\" is there twice" },
	{ "openers = [ \"so so\" ];", "\"so so\" is not one word" },
	{ "topics = ( { topic = \"x\"; } );", "needs topic and phrases" },
	{ SIGNAL("weight = 1; reason = \"r\"; min_words = 1;"),
	  "r.conf:4: the signal has no name" },
	{ SIGNAL("name = \"s\"; reason = \"r\"; min_words = 1;"),
	  "r.conf:4: signal \"s\" has no weight" },
	{ SIGNAL("name = \"s\"; weight = 1; min_words = 1;"), "signal \"s\" has no reason" },
	{ SIGNAL("name = \"s\"; weight = 21;"), "r.conf:4: weight must lie between -20 and 20" },
	{ SIGNAL("name = \"s\"; weight = 1.5;"), "weight must be a whole number" },
	{ SIGNAL("name = \"s\"; weight = \"1\";"), "weight must be a whole number" },
	{ SIGNAL("name = 5;"), "name must be text in quotes" },
	{ SIGNAL("name = \" \";"), "name has an empty text" },
	{ SIGNAL("name = \"a-name-that-is-longer-than-the-sixty-bytes-that-a-name-may-have\";"),
	  "name has a text longer than 60 bytes" },
	{ SIGNAL(WHOLE_SIGNAL), "no phrases and no condition" },
	{ SIGNAL(WHOLE_SIGNAL "wieght = 1;"), "r.conf:4: unknown key \"wieght\"" },
	{ SIGNAL(WHOLE_SIGNAL "question = 1;"), "question must be true or false" },
	{ SIGNAL(WHOLE_SIGNAL "min_words = 5; max_words = 4;"), "min_words above max_words" },
	{ SIGNAL(WHOLE_SIGNAL "min_words = -1;"), "min_words must lie between 0 and 1000" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = \"one\";"), "phrases must be a list" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ ];"), "phrases is empty" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ 1, 2 ];"), "phrases must be text in quotes" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"a\",\n \"\" ];"),
	  "r.conf:5: phrases has an empty text" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"^ ?\" ];"), "it has no words" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"* you\" ];"), "it does not begin with a word" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"you ...\" ];"), "\"...\" stands at its end" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"a ... b ... c ... d\" ];"), "more than 2 times" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"a b c d e f g h i j k l m\" ];"),
	  "more than 12 words" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"a|b||c\" ];"), "\"\" is not one word" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"follow-up\" ];"), "\"follow-up\" is not one word" },
	{ SIGNAL(WHOLE_SIGNAL "phrases = [ \"x*\" ];"), "fewer than two letters" },
	{ SIGNAL(WHOLE_SIGNAL "with = [ \"later\" ];"),
	  "names \"later\", which is no signal above" },
	{ SIGNAL(WHOLE_SIGNAL "min_words = 1; alternatives = [ \"{line}\" ];"), "{topic} once" },
	{ SIGNAL(WHOLE_SIGNAL "min_words = 1; alternatives = [ \"{topic} {topic}\" ];"),
	  "{topic} once" },
	{ SIGNAL(WHOLE_SIGNAL "min_words = 1; },\n{ " WHOLE_SIGNAL "min_words = 1;"),
	  "r.conf:5: two signals are named \"s\"" },
};

static void test_mistakes_are_refused_with_their_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct err err = { 0 };

		assert_null(load(mistakes[i].text, &err));
		assert_int_equal(err.kind, ERR_CONFIG);
		if (!strstr(err.text, mistakes[i].error))
			fail_msg("\"%s\" is not in \"%s\"", mistakes[i].error, err.text);
	}
}

static void test_caps(void **state)
{
	size_t len = RUBRIC_CAP_BYTES + 1;
	char *text = malloc(len + 1);
	struct err err = { 0 };

	(void)state;
	memset(text, ' ', len);
	text[len] = '\0';
	assert_null(rules_load(text, len, "r.conf", &scale, &err));
	assert_non_null(strstr(err.text, "a rubric may have"));
	text[10] = '\0';
	assert_null(rules_load(text, 20, "r.conf", &scale, &err));
	assert_non_null(strstr(err.text, "r.conf:1: a NUL byte"));
	len = (size_t)sprintf(text, "openers = [ \"so\"");
	for (int i = 0; i < RUBRIC_ENTRIES_CAP; i++)
		len += (size_t)sprintf(text + len, ", \"so\"");
	len += (size_t)sprintf(text + len, " ];");
	assert_null(rules_load(text, len, "r.conf", &scale, &err));
	assert_non_null(strstr(err.text, "more than 300 entries"));
	free(text);
}

/* What a sales coach would say of these, with nothing known but the line. */
static const struct { const char *line, *rating; } expected[] = {
	{ "Hello!", "good" },
	{ "Hi, how are you doing today?", "good" },
	{ "Okay.", "missed_opportunity" },
	{ "Yes.", "missed_opportunity" },
	{ "That's nice.", "missed_opportunity" },
	{ "", "missed_opportunity" },
	{ "\U0001f44d", "missed_opportunity" },
	{ "What does your electric bill run in the summer?", "good" },
	{ "That sounds really frustrating. When does it happen most?", "excellent" },
	{ "I can imagine. How long has it been giving you trouble?", "excellent" },
	{ "It's $65 a month with the router included, so you'd save about $240 a year.", "good" },
	{ "You'd save $240 a year. Would Tuesday at nine or Wednesday after four suit you better?",
	  "excellent" },
	{ "Thank you so much! I'll send you a photo tomorrow. Take care!", "excellent" },
	{ "I'll email you the confirmation right now, with my direct number.", "good" },
	{ "Would you be willing to donate a small part of your payment?", "good" },
	{ "Have you ever heard of Save the Children?", "good" },
	{ "Thank you for your time, have a wonderful evening.", "good" },
	{ "You need to decide right now.", "poor" },
	{ "You should donate to us.", "poor" },
	{ "This offer expires at midnight.", "poor" },
	{ "Surely you can spare twenty bucks.", "poor" },
	{ "Do you really need his permission to spend forty bucks?", "poor" },
	{ "Well, whoever she's using is probably garbage.", "poor" },
	{ "I don\u2019t have that information.", "poor" },
	{ "There's no catch, it's 100% free.", "poor" },
	{ "Okay, no problem. Well, have a good day then.", "poor" },
	{ "Sorry to bother you, I know you're busy.", "poor" },
	{ "Hi, sorry to disturb you.", "missed_opportunity" },
	{ "Are you the homeowner?", "missed_opportunity" },
	{ "Sure. Do you want an estimate?", "missed_opportunity" },
	{ "There they are. Six in one square foot.", "missed_opportunity" },
};

static void test_embedded_rubric_rates_as_a_coach_would(void **state)
{
	struct arena arena = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct rubric_rating r;

		rubric_rate(embedded, expected[i].line, NULL, &arena, &r);
		if (strcmp(r.rating, expected[i].rating) != 0)
			fail_msg("\"%s\" is %s (%d: %s), not %s", expected[i].line, r.rating,
				 r.score, r.reason, expected[i].rating);
		assert_in_range(r.nalternatives, 2, RUBRIC_ALTERNATIVES_CAP);
		assert_true(r.reason[0] != '\0');
	}
	arena_free(&arena);
}

/* With the customer's words known, the same answer weighs less, or more. */
static void test_embedded_rubric_hears_the_customer(void **state)
{
	static const struct { const char *customer, *line; int better; } cases[] = {
		{ "That's too expensive for us.", "It's a really popular package.", -1 },
		{ "That's too expensive for us.",
		  "I hear you, and we can look at something smaller that fits your budget.", 1 },
		{ "Could you send me something by email?", "Okay.", -1 },
		{ "It's a nice day.", "Okay.", 0 },
	};
	struct arena arena = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rubric_rating alone, heard;
		int change;

		rubric_rate(embedded, cases[i].line, NULL, &arena, &alone);
		rubric_rate(embedded, cases[i].line, cases[i].customer, &arena, &heard);
		change = (heard.score > alone.score) - (heard.score < alone.score);
		if (change != cases[i].better)
			fail_msg("\"%s\" after \"%s\": %d, alone %d", cases[i].line,
				 cases[i].customer, heard.score, alone.score);
	}
	arena_free(&arena);
}

static void assert_same(const struct rubric_rating *a, const struct rubric_rating *b)
{
	assert_int_equal(a->score, b->score);
	assert_string_equal(a->rating, b->rating);
	assert_string_equal(a->reason, b->reason);
	assert_int_equal(a->nalternatives, b->nalternatives);
	for (size_t i = 0; i < a->nalternatives; i++)
		assert_string_equal(a->alternatives[i], b->alternatives[i]);
}

/*
 * Another copy of the rubric, another order of lines, other spelling of case and blanks: the same.
 */
static void test_determinism(void **state)
{
	struct err err = { 0 };
	struct rules *again = rules_load(embedded_rubric.text, embedded_rubric.len, "again", &scale,
					 &err);
	size_t n = sizeof(expected) / sizeof(expected[0]);
	struct arena arena = { 0 };
	struct rubric_rating a, b;

	(void)state;
	assert_non_null(again);
	for (size_t i = 0; i < n; i++) {
		rubric_rate(embedded, expected[n - 1 - i].line, NULL, &arena, &a);
		rubric_rate(embedded, expected[i].line, NULL, &arena, &a);
		rubric_rate(again, expected[i].line, NULL, &arena, &b);
		assert_same(&a, &b);
	}
	rubric_rate(embedded, "  WHAT do you\tthink? ", NULL, &arena, &a);
	rubric_rate(embedded, "what do you think?", NULL, &arena, &b);
	assert_same(&a, &b);
	arena_free(&arena);
	rules_free(again);
}

static void test_odd_lines(void **state)
{
	size_t len = 1 << 20;
	char *long_line = malloc(len + 1);
	const char *lines[] = {
		long_line, "?", "?!?!?", "...", "'", "'''", "$", "$.", ".5", "5%", "\u2019\u2019",
		"\u00e9", "\xff\xfe", "\xe2\x80", "\xf0", "\u202e\u200b", "a'", "'a", "1.",
		"1,2,3,4", "\t\r\n", "\u4f60\u597d\u5417\uff1f",
	};
	struct arena arena = { 0 };

	(void)state;
	for (size_t i = 0; i < len; i++)
		long_line[i] = "you save? "[i % 10];
	long_line[len] = '\0';
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct rubric_rating r;

		rubric_rate(embedded, lines[i], lines[i], &arena, &r);
		assert_non_null(r.rating);
		assert_true(r.nalternatives > 0);
	}
	arena_free(&arena);
	free(long_line);
}

static int load_embedded(void **state)
{
	struct err err = { 0 };

	(void)state;
	embedded = rules_load(embedded_rubric.text, embedded_rubric.len, "rubric.conf", &scale,
			      &err);
	if (!embedded)
		fprintf(stderr, "%s\n", err.text);
	return embedded ? 0 : -1;
}

static int free_embedded(void **state)
{
	(void)state;
	rules_free(embedded);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phrases),
		cmocka_unit_test(test_openers_do_not_count),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_customer_counts_only_when_known),
		cmocka_unit_test(test_signals_refer_to_signals),
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_mistakes_are_refused_with_their_line),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_embedded_rubric_rates_as_a_coach_would),
		cmocka_unit_test(test_embedded_rubric_hears_the_customer),
		cmocka_unit_test(test_determinism),
		cmocka_unit_test(test_odd_lines),
	};

	return cmocka_run_group_tests_name("rubric", tests, load_embedded, free_embedded);
}
