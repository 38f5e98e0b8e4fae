/* What no key tells alone: pairs that exclude each other, the API key, what a reload may change. */
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
/* Returns 0, or -1 and the complaint. Sets openai.api_key from file or environment, when rater.backend asks for it. */
int config_read_api_key(struct config *config, struct config_complaint *why);

/* Refuses what cannot change without a restart: -1 and err, which names the key. */
int config_check_reload(const struct config *old, const struct config *new, struct err *err);

#endif
