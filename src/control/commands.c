/*
 * The commands' handlers, one for each row of grammar.h. Supervisor; it never waits. What `show`
 * shows is in show_*.c, what a command changes is done by the pool.
 */
#include "control/commands.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "control/grammar.h"
#include "control/server.h"
#include "prometheus.h"
#include "show.h"

/* What a handler works on. */
struct call {
	const struct pool *pool;
	const struct request *request;
	struct buf *out;
};

typedef int command_fn(const struct call *c, struct err *err);

/* ---- what shows something ---- */

static void render(const struct call *c, const struct view *view)
{
	view_render(view, c->pool, c->request->json, c->out);
}

#define SHOW(name)						\
	static int show_##name(const struct call *c, struct err *err)	\
	{								\
		(void)err;						\
		render(c, &view_##name);				\
		return 0;						\
	}

SHOW(status)
SHOW(workers)
SHOW(queue)
SHOW(config)
SHOW(errors)
SHOW(limits)
SHOW(version)

static int show_metrics(const struct call *c, struct err *err)
{
	(void)err;
	if (c->request->json)
		prometheus_render_json(c->pool->sb, c->out);
	else
		prometheus_render(c->pool->sb, c->out);
	return 0;
}

static void help_json(struct buf *out)
{
	static const char *const columns[] = { "command", "admin", "help", NULL };
	struct table *t = table_new(columns, false);
	char usage[GRAMMAR_USAGE_SIZE];

	for (int i = 0; i < COMMAND_COUNT; i++) {
		if (!grammar[i].help)
			continue;
		table_row(t);
		table_text(t, grammar_usage((enum control_command)i, usage));
		table_bool(t, grammar[i].access == ACCESS_ADMIN);
		table_text(t, grammar[i].help);
	}
	table_render(t, true, out);
	table_free(t);
}

static int help(const struct call *c, struct err *err)
{
	(void)err;
	if (c->request->json)
		help_json(c->out);
	else
		grammar_help(c->out);
	return 0;
}

/* ---- what changes something ---- */

static int pause_claims(const struct call *c, struct err *err)
{
	(void)err;
	c->pool->ops->pause(c->pool->arg, true);
	buf_str(c->out,
		"paused: nothing more is claimed until \"resume\", jobs in hand are finished\n");
	return 0;
}

static int resume_claims(const struct call *c, struct err *err)
{
	(void)err;
	c->pool->ops->pause(c->pool->arg, false);
	buf_str(c->out, "resumed\n");
	return 0;
}

static int drain(const struct call *c, struct err *err)
{
	(void)err;
	c->pool->ops->drain(c->pool->arg);
	buf_str(c->out, "draining: the daemon stops when the jobs in hand are finished\n");
	return 0;
}

static int reload(const struct call *c, struct err *err)
{
	return c->pool->ops->reload(c->pool->arg, err) == -1 ? -1 : CONTROL_GOES_ON;
}

/* Digits alone, and few enough that no sum of ours overflows. */
static int parse_number(const char *text, int *value, struct err *err)
{
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 6 || text[len])
		return err_set(err, ERR_PERMANENT,
			       "\"%.32s\" is not a number of at most six digits", text);
	*value = atoi(text);
	return 0;
}

static int scale(const struct call *c, struct err *err)
{
	int workers;

	if (parse_number(c->request->args[0], &workers, err) == -1 ||
	    c->pool->ops->scale(c->pool->arg, workers, err) == -1)
		return -1;
	buf_printf(c->out, "scaling to %d worker%s\n", workers, workers == 1 ? "" : "s");
	return 0;
}

static int recycle(const struct call *c, struct err *err)
{
	int slot = -1;

	if (c->request->nargs && parse_number(c->request->args[0], &slot, err) == -1)
		return -1;
	if (slot >= SLOT_COUNT)
		return err_set(err, ERR_PERMANENT,
			       "there is no slot %d; \"show workers\" lists them", slot);
	if (c->pool->ops->recycle(c->pool->arg, slot, err) == -1)
		return -1;
	if (slot == -1)
		buf_str(c->out, "recycling all workers, one after the other\n");
	else
		buf_printf(c->out, "recycling slot %d\n", slot);
	return 0;
}

static int set_log_level(const struct call *c, struct err *err)
{
	int level = log_level_parse(c->request->args[0]);

	if (level == -1)
		return err_set(err, ERR_PERMANENT,
			       "\"%.32s\" is not a level: error, warn, info or debug",
			       c->request->args[0]);
	c->pool->ops->set_log_level(c->pool->arg, (enum log_level)level);
	buf_printf(c->out, "logging %s and above\n", log_level_name((enum log_level)level));
	return 0;
}

static int open_breaker(const struct call *c, struct err *err)
{
	(void)err;
	c->pool->ops->open_breaker(c->pool->arg, "opened by an operator");
	buf_str(c->out, "the breaker is open: the rater is not asked until \"close breaker\"\n");
	return 0;
}

static int close_breaker(const struct call *c, struct err *err)
{
	(void)err;
	c->pool->ops->close_breaker(c->pool->arg);
	buf_str(c->out, "the breaker is closed: the rater is asked again\n");
	return 0;
}

/* ---- which is whose ---- */

/* A switch, so that the compiler names a command without a handler. */
static command_fn *handler_of(enum control_command command)
{
	switch (command) {
	case COMMAND_SHOW_STATUS:
		return show_status;
	case COMMAND_SHOW_WORKERS:
		return show_workers;
	case COMMAND_SHOW_QUEUE:
		return show_queue;
	case COMMAND_SHOW_METRICS:
		return show_metrics;
	case COMMAND_SHOW_CONFIG:
		return show_config;
	case COMMAND_SHOW_ERRORS:
		return show_errors;
	case COMMAND_SHOW_LIMITS:
		return show_limits;
	case COMMAND_SHOW_VERSION:
		return show_version;
	case COMMAND_PAUSE:
		return pause_claims;
	case COMMAND_RESUME:
		return resume_claims;
	case COMMAND_DRAIN:
		return drain;
	case COMMAND_RELOAD:
		return reload;
	case COMMAND_SCALE:
		return scale;
	case COMMAND_RECYCLE:
		return recycle;
	case COMMAND_LOG:
		return set_log_level;
	case COMMAND_OPEN_BREAKER:
	case COMMAND_OPEN_THE_BREAKER:
		return open_breaker;
	case COMMAND_CLOSE_BREAKER:
	case COMMAND_CLOSE_THE_BREAKER:
	case COMMAND_CLOSE_IT:
		return close_breaker;
	case COMMAND_HELP:
		return help;
	case COMMAND_COUNT:
		break;
	}
	return NULL;
}

int command_run(const struct pool *pool, const char *line, bool admin, struct buf *out,
		struct err *err)
{
	struct request request;
	struct call c = { .pool = pool, .request = &request, .out = out };

	if (grammar_read(&request, line, admin, err) == -1)
		return -1;
	if (grammar[request.command].access == ACCESS_ADMIN)
		log_info("asked over the control socket: %s%s%s", grammar[request.command].words,
			 request.nargs ? " " : "", request.nargs ? request.args[0] : "");
	return handler_of(request.command)(&c, err);
}
