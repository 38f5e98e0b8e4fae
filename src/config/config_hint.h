/*
 * Hints for whoever wrote a key or a group that the configuration does not know: the one meant (at
 * most two letters away, or the same name in another group), else all there are. Each appends half
 * a sentence.
 */
#ifndef CONFIG_HINT_H
#define CONFIG_HINT_H

#include "base/buf.h"
#include "config_keys.h"

/* group: the first key of the group that path is in. */
void config_hint_key(const char *path, const struct config_key *group, struct buf *out);
void config_hint_group(const char *name, struct buf *out);

#endif
