/* Says what was meant by an unknown word, by counting slips of the pen. Any process; pure. */
#include "base/hint.h"

#include <string.h>

#define WORD_CAP 64		/* longer than any path of ours */
#define TOO_FAR 3		/* so many slips make it another word */

/* Letters to insert, drop or change between two words; TOO_FAR when one is longer than ours are. */
static size_t distance(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t row[WORD_CAP + 1];

	if (alen > WORD_CAP || blen > WORD_CAP)
		return TOO_FAR;
	for (size_t j = 0; j <= blen; j++)
		row[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = change < gap ? change : gap;
		}
	}
	return row[blen];
}

struct guess {
	const char *text;		/* as written */
	size_t distance;		/* of the best word so far */
	const void *meaning;		/* of that word; NULL: nothing is near */
};

static void consider(struct guess *g, const char *word, size_t len, const void *meaning)
{
	size_t d = distance(g->text, strlen(g->text), word, len);

	if (d >= g->distance)
		return;
	g->distance = d;
	g->meaning = meaning;
}

static const struct config_key *guess_key(const char *path)
{
	struct guess g = { path, TOO_FAR, NULL };
	const char *dot = strchr(path, '.'), *name = dot ? dot + 1 : path;

	for (size_t i = 0; i < config_keys_n; i++)
		consider(&g, config_keys[i].path, strlen(config_keys[i].path), &config_keys[i]);
	for (size_t i = 0; !g.meaning && i < config_keys_n; i++) {	/* right word, wrong group? */
		const struct config_key *key = &config_keys[i];

		if (strcmp(name, key->path + config_key_group_len(key) + 1) == 0)
			g.meaning = key;
	}
	return g.meaning;
}

static const struct config_key *guess_group(const char *name)
{
	struct guess g = { name, TOO_FAR, NULL };

	for (size_t i = 0; i < config_keys_n; i++)
		consider(&g, config_keys[i].path, config_key_group_len(&config_keys[i]), &config_keys[i]);
	return g.meaning;
}

static void list_keys(const struct config_key *group, struct buf *out)
{
	size_t len = config_key_group_len(group);

	buf_printf(out, "the keys of %.*s are", (int)len, group->path);
	for (size_t i = 0; i < config_keys_n; i++)
		if (strncmp(config_keys[i].path, group->path, len + 1) == 0)
			buf_printf(out, "%s %s", &config_keys[i] == group ? "" : ",",
				   config_keys[i].path + len + 1);
}

static void list_groups(struct buf *out)
{
	const char *group = "";

	buf_str(out, "the groups are");
	for (size_t i = 0; i < config_keys_n; i++) {
		size_t len = config_key_group_len(&config_keys[i]);

		if (strncmp(group, config_keys[i].path, len + 1) == 0)
			continue;
		buf_printf(out, "%s %.*s", i ? "," : "", (int)len, config_keys[i].path);
		group = config_keys[i].path;
	}
}

void config_hint_key(const char *path, const struct config_key *group, struct buf *out)
{
	const struct config_key *guess = guess_key(path);

	if (guess)
		buf_printf(out, "did you mean \"%s\"?", guess->path);
	else
		list_keys(group, out);
}

void config_hint_group(const char *name, struct buf *out)
{
	const struct config_key *group = guess_group(name), *key = guess_key(name);

	if (group)
		buf_printf(out, "did you mean \"%.*s\"?", (int)config_key_group_len(group), group->path);
	else if (key)
		buf_printf(out, "did you mean \"%s\"?", key->path);
	else
		list_groups(out);
}

const char *config_hint_word(const char *const *words, const char *text)
{
	struct guess g = { text, TOO_FAR, NULL };

	for (; *words; words++)
		consider(&g, *words, strlen(*words), *words);
	return g.meaning;
}

const char *config_hint_choice(const struct config_key *key, const char *text)
{
	return config_hint_word(key->choices, text);
}
