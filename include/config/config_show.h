/* The configuration for people, without the secrets: `show config`, `gradingd -K`. */
#ifndef CONFIG_SHOW_H
#define CONFIG_SHOW_H

#include "config/config.h"

struct buf;
struct table;

/* Rows of (key, value, default, reload): secrets starred. For `show config`. */
void config_show(const struct config *config, struct table *table);

/* A line a key: path, type, default as a file has it, "yes" or "restart", help; tabs between. */
void config_list(struct buf *out);

#endif
