/* What no key tells alone: pairs that exclude each other, secrets, what a reload may change. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "base/err.h"
#include "config/config.h"

/* Why a configuration is refused, and the one or two keys to look at (other may be NULL). */
struct config_complaint {
	const char *key, *other;
	char text[448];
};

/* Hears of each complaint. */
typedef void config_complain_fn(void *arg, const struct config_complaint *why);

/* Returns 0, or -1 after all complaints. */
int config_check(const struct config *config, config_complain_fn *tell, void *arg);
/*
 * Sets openai.api_key and header_lines where a backend wants them, and the secrets of webhooks;
 * from files or environment.
 * Returns 0, or -1 and the complaint.
 */
int config_read_secrets(struct config *config, struct config_complaint *why);
void config_free_secrets(struct config *config);
/* Calls each(name) for every environment variable that a secret is read from. */
void config_each_variable(const struct config *config, void (*each)(const char *name));

/* Refuses what cannot change without a restart: -1 and err, which names the key. */
int config_check_reload(const struct config *old, const struct config *new, struct err *err);

#endif
