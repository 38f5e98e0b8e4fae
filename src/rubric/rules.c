/*
 * Loads a rubric: a table of keys for each kind of group, walked over libconfig's tree so that
 * every mistake is refused with its line. Runs in a child, at start; rates nothing.
 */
#include "rubric/rules.h"

#include <libconfig.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_GIVEN INT_MIN
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct loader {
	const char *name;
	const struct string_list *scale;
	struct rules *rules;
	struct err *err;
};

/*
 * A key that a group may hold: how it is read, to which place of the group's struct, in what range.
 */
struct key {
	const char *name;
	int (*read)(struct loader *l, const config_setting_t *s, const struct key *key, void *to);
	size_t offset;
	int min, max;
};

static int refuse(struct loader *l, const config_setting_t *s, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct loader *l, const config_setting_t *s, const char *fmt, ...)
{
	unsigned line = config_setting_source_line(s);
	char reason[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return err_set(l->err, ERR_CONFIG, "%s:%u: %s", l->name, line ? line : 1, reason);
}

/* An element of a list has no name of its own. */
static const char *name_of(const config_setting_t *s)
{
	const char *name = config_setting_name(s);

	if (!name && config_setting_parent(s))
		name = config_setting_name(config_setting_parent(s));
	return name ? name : "the rubric";
}

static int read_group(struct loader *l, const config_setting_t *group, const struct key *keys,
		      size_t n, void *to)
{
	if (!config_setting_is_group(group))
		return refuse(l, group, "%s must hold groups in braces", name_of(group));
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		size_t k = 0;

		while (k < n && strcmp(keys[k].name, config_setting_name(s)) != 0)
			k++;
		if (k == n)
			return refuse(l, s, "unknown key \"%.60s\"", config_setting_name(s));
		if (keys[k].read(l, s, &keys[k], (char *)to + keys[k].offset) != 0)
			return -1;
	}
	return 0;
}

/* The length of a list or an array, whichever way it is written; -1 when it is neither. */
static int read_length(struct loader *l, const config_setting_t *s, int max)
{
	int n = config_setting_length(s);

	if (!config_setting_is_list(s) && !config_setting_is_array(s))
		return refuse(l, s, "%s must be a list", name_of(s));
	if (n == 0)
		return refuse(l, s, "%s is empty", name_of(s));
	if (n > max)
		return refuse(l, s, "%s has more than %d entries", name_of(s), max);
	return n;
}

static const char *read_string(struct loader *l, const config_setting_t *s, size_t cap)
{
	const char *text = config_setting_get_string(s);

	if (!text)
		refuse(l, s, "%s must be text in quotes", name_of(s));
	else if (text[strspn(text, " \t\r\n")] == '\0')
		refuse(l, s, "%s has an empty text", name_of(s));
	else if (strlen(text) > cap)
		refuse(l, s, "%s has a text longer than %zu bytes", name_of(s), cap);
	else
		return text;
	return NULL;
}

static int read_text(struct loader *l, const config_setting_t *s, const struct key *key, void *to)
{
	const char *text = read_string(l, s, (size_t)key->max);

	if (!text)
		return -1;
	*(const char **)to = arena_dup(&l->rules->arena, text, strlen(text));
	return 0;
}

static int read_number(struct loader *l, const config_setting_t *s, const struct key *key, void *to)
{
	int value = config_setting_get_int(s);

	if (config_setting_type(s) != CONFIG_TYPE_INT)
		return refuse(l, s, "%s must be a whole number", key->name);
	if (value < key->min || value > key->max)
		return refuse(l, s, "%s must lie between %d and %d", key->name, key->min, key->max);
	*(int *)to = value;
	return 0;
}

static int read_bool(struct loader *l, const config_setting_t *s, const struct key *key, void *to)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		return refuse(l, s, "%s must be true or false", key->name);
	*(int *)to = config_setting_get_bool(s);
	return 0;
}

static int read_phrases(struct loader *l, const config_setting_t *s, const struct key *key,
			void *to)
{
	int n = read_length(l, s, key->max);
	struct err why;

	if (n < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		const config_setting_t *entry = config_setting_get_elem(s, (unsigned)i);
		const char *text = read_string(l, entry, PHRASE_CAP_BYTES);

		if (!text)
			return -1;
		if (patterns_add(l->rules->patterns, text, l->rules->nlists, &why) != 0)
			return refuse(l, entry, "cannot use the phrase \"%s\": %s", text, why.text);
	}
	*(int *)to = (int)l->rules->nlists++;
	return 0;
}

static int read_openers(struct loader *l, const config_setting_t *s, const struct key *key,
			void *to)
{
	int n = read_length(l, s, key->max);
	struct err why;

	(void)to;
	if (n < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		const config_setting_t *entry = config_setting_get_elem(s, (unsigned)i);
		const char *text = read_string(l, entry, RUBRIC_NAME_CAP_BYTES);

		if (!text)
			return -1;
		if (patterns_add_opener(l->rules->patterns, text, &why) != 0)
			return refuse(l, entry, "cannot use the word \"%s\": %s", text, why.text);
	}
	return 0;
}

static int find_signal(const struct rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->nsignals; i++)
		if (strcmp(rules->signals[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int read_signal_names(struct loader *l, const config_setting_t *s, const struct key *key,
			     void *to)
{
	uint64_t *signals = to;
	int n = read_length(l, s, key->max);

	if (n < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		const config_setting_t *entry = config_setting_get_elem(s, (unsigned)i);
		const char *name = read_string(l, entry, RUBRIC_NAME_CAP_BYTES);
		int signal;

		if (!name)
			return -1;
		signal = find_signal(l->rules, name);
		if (signal < 0)
			return refuse(l, entry,
				      "%s names \"%s\", which is no signal above this one",
				      key->name, name);
		*signals |= UINT64_C(1) << signal;
	}
	return 0;
}

static int read_alternative(struct loader *l, const config_setting_t *s,
			    struct alternative *alternative)
{
	static const char topic[] = "{topic}";
	const char *text = read_string(l, s, RUBRIC_TEXT_CAP_BYTES);
	const char *brace = text ? strpbrk(text, "{}") : NULL;

	if (!text)
		return -1;
	*alternative = (struct alternative){
		.before = arena_dup(&l->rules->arena, text, strlen(text)),
	};
	if (!brace)
		return 0;
	if (strncmp(brace, topic, strlen(topic)) != 0 || strpbrk(brace + strlen(topic), "{}"))
		return refuse(l, s, "an alternative may hold {topic} once, and no other braces");
	alternative->before = arena_dup(&l->rules->arena, text, (size_t)(brace - text));
	brace += strlen(topic);
	alternative->after = arena_dup(&l->rules->arena, brace, strlen(brace));
	return 0;
}

static int read_alternatives(struct loader *l, const config_setting_t *s, const struct key *key,
			     void *to)
{
	int n = read_length(l, s, key->max);
	struct alternative *list;

	if (n < 0)
		return -1;
	list = arena_alloc(&l->rules->arena, (size_t)n * sizeof(*list));
	for (int i = 0; i < n; i++)
		if (read_alternative(l, config_setting_get_elem(s, (unsigned)i), &list[i]) != 0)
			return -1;
	*(struct alternatives *)to = (struct alternatives){ list, (size_t)n };
	return 0;
}

#define PLACE(type, field) offsetof(struct type, field)

static const struct key signal_keys[] = {
	{ "name", read_text, PLACE(signal_rule, name), 0, RUBRIC_NAME_CAP_BYTES },
	{ "weight", read_number, PLACE(signal_rule, weight), -RUBRIC_WEIGHT_CAP,
	  RUBRIC_WEIGHT_CAP },
	{ "reason", read_text, PLACE(signal_rule, reason), 0, RUBRIC_TEXT_CAP_BYTES },
	{ "phrases", read_phrases, PLACE(signal_rule, phrases), 0, RUBRIC_ENTRIES_CAP },
	{ "except", read_phrases, PLACE(signal_rule, except), 0, RUBRIC_ENTRIES_CAP },
	{ "customer", read_phrases, PLACE(signal_rule, customer), 0, RUBRIC_ENTRIES_CAP },
	{ "with", read_signal_names, PLACE(signal_rule, with), 0, RUBRIC_SIGNALS_CAP },
	{ "without", read_signal_names, PLACE(signal_rule, without), 0, RUBRIC_SIGNALS_CAP },
	{ "min_words", read_number, PLACE(signal_rule, min_words), 0, WORDS_CAP },
	{ "max_words", read_number, PLACE(signal_rule, max_words), 0, WORDS_CAP },
	{ "question", read_bool, PLACE(signal_rule, question), 0, 0 },
	{ "alternatives", read_alternatives, PLACE(signal_rule, alternatives), 0,
	  RUBRIC_ENTRIES_CAP },
};

static const struct key band_keys[] = {
	{ "rating", read_text, PLACE(band, rating), 0, RUBRIC_NAME_CAP_BYTES },
	{ "from", read_number, PLACE(band, from), -1000, 1000 },
	{ "reason", read_text, PLACE(band, reason), 0, RUBRIC_TEXT_CAP_BYTES },
	{ "alternatives", read_alternatives, PLACE(band, alternatives), 0, RUBRIC_ENTRIES_CAP },
};

static const struct key topic_keys[] = {
	{ "topic", read_text, PLACE(topic, topic), 0, RUBRIC_NAME_CAP_BYTES },
	{ "phrases", read_phrases, PLACE(topic, phrases), 0, RUBRIC_ENTRIES_CAP },
};

static bool is_unconditional(const struct signal_rule *r)
{
	return r->phrases == LIST_NONE && r->customer == LIST_NONE && !r->with && !r->without &&
	       r->min_words == 0 && r->max_words == WORDS_CAP && r->question < 0;
}

static int check_signal(struct loader *l, const config_setting_t *s, const struct signal_rule *r)
{
	if (!r->name)
		return refuse(l, s, "the signal has no name");
	if (find_signal(l->rules, r->name) >= 0)
		return refuse(l, s, "two signals are named \"%s\"", r->name);
	if (r->weight == NOT_GIVEN)
		return refuse(l, s, "signal \"%s\" has no weight", r->name);
	if (r->weight != 0 && !r->reason)
		return refuse(l, s, "signal \"%s\" has no reason", r->name);
	if (r->min_words > r->max_words)
		return refuse(l, s, "signal \"%s\" has min_words above max_words", r->name);
	if (is_unconditional(r))
		return refuse(l, s, "signal \"%s\" has no phrases and no condition", r->name);
	return 0;
}

static int read_signals(struct loader *l, const config_setting_t *s, const struct key *key,
			void *to)
{
	int n = read_length(l, s, key->max);

	(void)to;
	for (int i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(s, (unsigned)i);
		struct signal_rule *r = &l->rules->signals[i];

		*r = (struct signal_rule){
			.weight = NOT_GIVEN, .phrases = LIST_NONE, .except = LIST_NONE,
			.customer = LIST_NONE, .max_words = WORDS_CAP, .question = -1,
		};
		if (read_group(l, group, signal_keys, COUNT(signal_keys), r) != 0 ||
		    check_signal(l, group, r) != 0)
			return -1;
		l->rules->nsignals++;	/* now the signals below may name it */
	}
	return n < 0 ? -1 : 0;
}

static bool is_in_scale(const struct string_list *scale, const char *rating)
{
	for (size_t i = 0; i < scale->n; i++)
		if (strcmp(scale->items[i], rating) == 0)
			return true;
	return false;
}

/* Bands fall strictly, each has its own rating, and the last takes what is below all others. */
static int check_band(struct loader *l, const config_setting_t *s, const struct band *b, bool last)
{
	const struct band *first = l->rules->bands;

	if (!b->rating)
		return refuse(l, s, "an entry of ratings has no rating");
	if (!is_in_scale(l->scale, b->rating))
		return refuse(l, s, "the rating \"%s\" is not in rater.scale", b->rating);
	if (!b->reason)
		return refuse(l, s, "the rating \"%s\" has no reason", b->rating);
	if (last != (b->from == NOT_GIVEN))
		return refuse(l, s, last ? "the last rating takes all lower scores: no from" :
					   "only the last rating may go without from");
	if (b > first && !last && b->from >= b[-1].from)
		return refuse(l, s, "the from of \"%s\" is not below the one before", b->rating);
	for (const struct band *other = first; other < b; other++)
		if (strcmp(other->rating, b->rating) == 0)
			return refuse(l, s, "the rating \"%s\" is there twice", b->rating);
	return 0;
}

static int read_bands(struct loader *l, const config_setting_t *s, const struct key *key, void *to)
{
	int n = read_length(l, s, key->max);

	(void)to;
	if (n < 0)
		return -1;
	l->rules->bands = arena_alloc(&l->rules->arena, (size_t)n * sizeof(*l->rules->bands));
	for (int i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(s, (unsigned)i);
		struct band *b = &l->rules->bands[i];

		b->from = NOT_GIVEN;
		if (read_group(l, group, band_keys, COUNT(band_keys), b) != 0 ||
		    check_band(l, group, b, i == n - 1) != 0)
			return -1;
	}
	l->rules->nbands = (size_t)n;
	return 0;
}

static int read_topics(struct loader *l, const config_setting_t *s, const struct key *key, void *to)
{
	int n = read_length(l, s, key->max);

	(void)to;
	for (int i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(s, (unsigned)i);
		struct topic *topic = &l->rules->topics[i];

		topic->phrases = LIST_NONE;
		if (read_group(l, group, topic_keys, COUNT(topic_keys), topic) != 0)
			return -1;
		if (!topic->topic || topic->phrases == LIST_NONE)
			return refuse(l, group, "an entry of topics needs topic and phrases");
		l->rules->ntopics++;
	}
	return n < 0 ? -1 : 0;
}

static const struct key rubric_keys[] = {
	{ "ratings", read_bands, 0, 0, RUBRIC_SIGNALS_CAP },
	{ "openers", read_openers, 0, 0, RUBRIC_ENTRIES_CAP },
	{ "topics", read_topics, 0, 0, RUBRIC_TOPICS_CAP },
	{ "signals", read_signals, 0, 0, RUBRIC_SIGNALS_CAP },
};

/* What libconfig would let through: a second file, or text behind a NUL. */
static int check_text(const char *text, size_t len, struct loader *l)
{
	static const char include[] = "@include";
	unsigned line = 1;

	if (len > RUBRIC_CAP_BYTES)
		return err_set(l->err, ERR_CONFIG, "%s:1: a rubric may have %u bytes, this has %zu",
			       l->name, RUBRIC_CAP_BYTES, len);
	for (const char *p = text; ; line++) {
		size_t in_line = strcspn(p, "\n");

		if (strncmp(p + strspn(p, " \t"), include, strlen(include)) == 0)
			return err_set(l->err, ERR_CONFIG,
				       "%s:%u: a rubric cannot include other files", l->name, line);
		p += in_line;
		if (*p == '\0')
			return p == text + len ? 0 :
			       err_set(l->err, ERR_CONFIG, "%s:%u: a NUL byte", l->name, line);
		p++;
	}
}

static int read_root(struct loader *l, const config_setting_t *root)
{
	if (read_group(l, root, rubric_keys, COUNT(rubric_keys), l->rules) != 0)
		return -1;
	if (l->rules->nbands == 0 || l->rules->nsignals == 0)
		return refuse(l, root, "a rubric needs ratings and signals");
	return 0;
}

static int read_rubric(struct loader *l, const char *text)
{
	config_t file;
	int result;

	config_init(&file);
	if (!config_read_string(&file, text))
		result = err_set(l->err, ERR_CONFIG, "%s:%d: %s", l->name, config_error_line(&file),
				 config_error_text(&file));
	else
		result = read_root(l, config_root_setting(&file));
	config_destroy(&file);
	return result;
}

struct rules *rules_load(const char *text, size_t len, const char *name,
			 const struct string_list *scale, struct err *err)
{
	struct rules *rules = xcalloc(1, sizeof(*rules));
	struct loader l = { name, scale, rules, err };

	rules->patterns = patterns_new();
	if (check_text(text, len, &l) != 0 || read_rubric(&l, text) != 0) {
		rules_free(rules);
		return NULL;
	}
	patterns_seal(rules->patterns);
	return rules;
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	patterns_free(rules->patterns);
	arena_free(&rules->arena);
	free(rules);
}
