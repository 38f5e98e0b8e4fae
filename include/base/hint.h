/*
 * Hints for whoever wrote a word that the configuration does not know: the one meant (at most two
 * letters away, or the same name in another group), else all there are. For config*.c.
 */
#ifndef CONFIG_HINT_H
#define CONFIG_HINT_H

#include "base/buf.h"
#include "config/config_keys.h"

/* Each appends half a sentence. group: the first key of the group that path is in. */
void config_hint_key(const char *path, const struct config_key *group, struct buf *out);
void config_hint_group(const char *name, struct buf *out);
/* Of the words (NULL-terminated) the one meant, or NULL. */
const char *config_hint_word(const char *const *words, const char *text);
/* The choice meant, or NULL. */
const char *config_hint_choice(const struct config_key *key, const char *text);

#endif
