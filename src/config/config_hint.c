/*
 * Says which key or group was meant by an unknown one, or else which there are. Runs wherever a
 * configuration is loaded; pure.
 */
#include "config_hint.h"

#include <string.h>

#include "base/hint.h"

static const struct config_key *guess_key(const char *path)
{
	struct hint hint = hint_for(path);
	const char *dot = strchr(path, '.'), *name = dot ? dot + 1 : path;

	for (size_t i = 0; i < config_keys_n; i++)
		hint_consider(&hint, config_keys[i].path, strlen(config_keys[i].path),
			      &config_keys[i]);
	for (size_t i = 0; !hint.meaning && i < config_keys_n; i++) {	/* in a wrong group? */
		const struct config_key *key = &config_keys[i];

		if (config_key_in_group(key) &&
		    strcmp(name, key->path + config_key_group_len(key) + 1) == 0)
			hint.meaning = key;
	}
	return hint.meaning;
}

static const struct config_key *guess_group(const char *name)
{
	struct hint hint = hint_for(name);

	for (size_t i = 0; i < config_keys_n; i++)
		hint_consider(&hint, config_keys[i].path, config_key_group_len(&config_keys[i]),
			      &config_keys[i]);
	return hint.meaning;
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

		if (!config_key_in_group(&config_keys[i]) ||
		    strncmp(group, config_keys[i].path, len + 1) == 0)
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
		buf_printf(out, "did you mean \"%.*s\"?", (int)config_key_group_len(group),
			   group->path);
	else if (key)
		buf_printf(out, "did you mean \"%s\"?", key->path);
	else
		list_groups(out);
}
