/*
 * The one place that knows which raters there are: a row for each backend of the configuration.
 * Runs in workers and wherever a configuration is tried. A rater itself knows nothing of the
 * others.
 */
#include "rater/backends.h"

#include <stddef.h>

#include "rater/openai.h"
#include "builtin.h"
#include "command.h"

static const struct rater_ops *const backends[] = {
	[RATER_RUBRIC] = &rater_rubric_ops,
	[RATER_OPENAI] = &rater_openai_ops,
	[RATER_COMMAND] = &rater_command_ops,
};

static struct rater *open_numbered(int number, bool fallback, const struct config *config,
				   struct loop *loop, struct err *err)
{
	if (number >= 0 && (size_t)number < sizeof(backends) / sizeof(backends[0]))
		return rater_new(backends[number], fallback, config, loop, err);
	err_set(err, ERR_CONFIG, "there is no rater with the number %d", number);
	return NULL;
}

struct rater *backends_open(const struct config *config, struct loop *loop, struct err *err)
{
	return open_numbered(config->rater.backend, false, config, loop, err);
}

struct rater *backends_open_fallback(const struct config *config, struct loop *loop,
				     struct err *err)
{
	*err = (struct err){ .kind = ERR_NONE };
	if (config->rater.fallback == RATER_NONE)
		return NULL;
	return open_numbered(config->rater.fallback, true, config, loop, err);
}
