/*
 * The webhooks of a configuration: a list of groups, each of whose members is a row of a table as
 * any other key is. For config_load.c, which walks what libconfig has read, and config_value.c,
 * which knows what values are and is handed in.
 */
#ifndef CONFIG_HOOKS_H
#define CONFIG_HOOKS_H

#include "base/buf.h"
#include "config_keys.h"

/* Rows as those of config_keys; the offset is in struct webhook, the path "webhooks.hooks.url". */
extern const struct config_key hook_keys[];
extern const size_t hook_keys_n;

/* By its last word ("url"); NULL when there is none. */
const struct config_key *hook_key_find(const char *name);
/* Appends all last words: "name, url, ...". */
void hook_keys_list(struct buf *out);

/* How the members are read, written and freed: config_value_ops. */
struct hook_ops {
	int (*parse)(const struct config_key *key, void *base, const char *text);
	void (*format)(const struct config_key *key, const void *base, struct buf *out);
	void (*release)(const struct config_key *key, void *base);
};

/* Sets all of a zeroed hook's members to their defaults. -1: no memory. */
int hook_preset(const struct hook_ops *ops, struct webhook *hook);
/* Frees what it holds, secrets wiped. */
void hook_free(const struct hook_ops *ops, struct webhook *hook);
/* Moves hook into the list. -1: no memory; hook is then as it was. */
int hook_list_add(struct webhook_list *list, struct webhook *hook);
void hook_list_free(const struct hook_ops *ops, struct webhook_list *list);
/* Appends the list as a configuration file has it, with what may be a secret in a URL left out. */
void hook_list_show(const struct hook_ops *ops, const struct webhook_list *list, struct buf *out);

#endif
