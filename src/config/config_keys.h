/* The table of configuration keys: what there is, its default and its limits. */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum key_type {
	KEY_STRING,
	KEY_INTEGER,
	KEY_DURATION,			/* in ms */
	KEY_CHOICE,			/* an enum */
	KEY_LIST,			/* names */
	KEY_WORDS,			/* any strings: a command line */
	KEY_DECIMAL,			/* in millionths */
	KEY_OBJECT,			/* a group of any values, as JSON */
	KEY_HEADERS,			/* a group of strings: names and values by turns */
	KEY_HOOKS,			/* a list of groups: config_hooks.h */
};

struct config_key {
	const char *path;		/* "queue.poll"; "mirror": in no group */
	enum key_type type;
	size_t offset;			/* of its member in struct config */
	const char *preset;		/* the default, as text */
	int64_t min, max;		/* the value; a list's items; a string's bytes */
	const char *const *choices;	/* NULL-terminated, in the order of the enum */
	const char *const *not_in;	/* NULL-terminated: names that a group may not set */
	const char *(*wrong)(const char *text);	/* NULL, or what the string must be instead */
	bool or_zero;			/* 0 is allowed below min */
	bool or_none;			/* "none" is allowed, and means CONFIG_NONE */
	bool secret;			/* never shown in a message: it may hold a password */
	bool file;			/* a relative path is relative to the configuration file */
	bool restart;			/* a reload cannot change it */
	const char *help;
};

extern const struct config_key config_keys[];
extern const size_t config_keys_n;

/* NULL when there is none. A group is known by its first key. */
const struct config_key *config_key_find(const char *path);
const struct config_key *config_group_find(const char *name);
size_t config_key_group_len(const struct config_key *key);	/* "queue.poll": 5 */
bool config_key_in_group(const struct config_key *key);

#endif
