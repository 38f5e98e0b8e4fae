/*
 * One value of the configuration by its row in the table: from text ("5s", "excellent, good") into
 * its member of struct config, and back. For config*.c.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/buf.h"
#include "config_hooks.h"
#include "config_keys.h"

#define CONFIG_VALUE_CAP_BYTES 8192	/* as text, of any value of ours */

/*
 * base is the struct that the key's offset is in: a struct config, or of hook_keys a struct
 * webhook.
 * Returns -1 with errno EINVAL (not allowed) or ENOMEM; the member is then as it was.
 */
int config_value_parse(const struct config_key *key, void *base, const char *text);
/* Appends the value as config_value_parse() reads it; passwords and all. */
void config_value_format(const struct config_key *key, const void *base, struct buf *out);
/* The same for people: without what must not be shown. */
void config_value_show(const struct config_key *key, const void *base, struct buf *out);
/* Appends what the value may be ("an integer from 1 to 256") to one who wrote text instead. */
void config_value_allowed(const struct config_key *key, const char *text, struct buf *out);
/* Frees the member, wiped when it is secret. */
void config_value_free(const struct config_key *key, void *base);

/* The same three, for the members of webhooks (config_hooks.h). */
extern const struct hook_ops config_value_ops;

/* One word of a KEY_WORDS value: in double quotes, with a backslash before a quote or backslash. */
void config_value_quote(struct buf *out, const char *word);

#endif
