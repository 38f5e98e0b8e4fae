/*
 * Orders to the pool, each checked, said in the log and handed to children or reload. Runs in the
 * parent; it forks nothing, waits for nobody and knows neither who asks nor how that is
 * answered.
 */
#include "orders.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "config/config_check.h"
#include "config/config_load.h"
#include "process/environment.h"
#include "process/notify.h"
#include "scoreboard/breaker.h"
#include "scoreboard/throttle.h"

/* ---- starting and ending ---- */

/* They hold for all children from now on, those of an older configuration too. */
static void set_limits(struct orders *o)
{
	const struct config *config = o->config;
	bool metered = config_rates_with(config, RATER_OPENAI);

	throttle_set(&o->sb->throttle, metered ? config->openai.requests_per_minute : 0,
		     metered ? config->openai.tokens_per_minute : 0, now_ms());
}

void orders_start(struct orders *o)
{
	set_limits(o);
	children_start(o->children);
}

void orders_stop(struct orders *o, bool at_once)
{
	reload_cancel(o->reload);
	if (!o->children->stopping)
		log_info("%s%s%s", at_once ? "stopping at once" : "draining, then stopping",
			 o->reason[0] ? ": " : "", o->reason);
	atomic_store(&o->sb->phase, POOL_DRAINING);
	notify_stopping();
	children_stop(o->children, at_once);
}

void orders_fail(struct orders *o, int status, const char *reason)
{
	if (o->exit_status == EXIT_STOPPED) {
		o->exit_status = status;
		snprintf(o->reason, sizeof(o->reason), "%s", reason);
	}
	orders_stop(o, true);
}

/* ---- reload ---- */

int orders_reload(struct orders *o, bool awaited, struct err *err)
{
	if (o->children->stopping)
		return err_set(err, ERR_PERMANENT, "the pool is stopping");
	return reload_begin(o->reload, o->config, awaited, err);
}

void orders_put_in_force(struct orders *o, struct config *fresh)
{
	struct config *old = o->config;

	config_each_variable(fresh, environment_hide);
	o->config = fresh;
	atomic_fetch_add(&o->sb->reloads, 1);
	breaker_forget(&o->sb->breaker, now_ms());
	learnt_forget(&o->sb->learnt);
	log_info("the configuration is reloaded; replacing the children one after another");
	set_limits(o);
	children_replace(o->children, fresh);
	config_free(old);
	notify_ready();
}

/* ---- the pool, for the control socket ---- */

static const struct config *pool_config_in_force(void *arg)
{
	const struct orders *o = arg;

	return o->config;
}

static const char *pool_role(void *arg, int slot)
{
	const struct orders *o = arg;

	return o->children->roles[slot_role(slot)].name;
}

static unsigned pool_crashes(void *arg, int slot)
{
	const struct orders *o = arg;

	return o->children->slots[slot].history.crashes;
}

static int64_t pool_restart_in_ms(void *arg, int slot)
{
	const struct orders *o = arg;

	return children_restart_in_ms(o->children, slot);
}

static void pool_pause(void *arg, bool paused)
{
	struct orders *o = arg;

	log_info(paused ? "paused by an operator: nothing is claimed" : "resumed by an operator");
	atomic_store(&o->sb->paused, paused);
	if (!paused)
		children_wake_workers(o->children);
}

static void pool_drain(void *arg)
{
	orders_stop(arg, false);
}

static void pool_open_breaker(void *arg, const char *reason)
{
	struct orders *o = arg;

	breaker_hold(&o->sb->breaker, reason);
}

static void pool_close_breaker(void *arg)
{
	struct orders *o = arg;

	log_info("the breaker is closed by an operator");
	breaker_release(&o->sb->breaker);
	children_wake_workers(o->children);
}

static void pool_set_log_level(void *arg, enum log_level level)
{
	(void)arg;
	log_set_level(level);
}

static int pool_reload(void *arg, struct err *err)
{
	return orders_reload(arg, true, err);
}

static int pool_scale(void *arg, int64_t workers, struct err *err)
{
	struct orders *o = arg;

	if (o->children->stopping)
		return err_set(err, ERR_PERMANENT, "the pool is stopping");
	if (workers < 1 || workers > SLOT_MAX_WORKERS)
		return err_set(err, ERR_PERMANENT, "%" PRId64 " workers; it must be from 1 to %d",
			       workers, SLOT_MAX_WORKERS);
	log_info("scaling to %" PRId64 " worker%s", workers, workers == 1 ? "" : "s");
	o->config->pool.workers = workers;
	children_scale(o->children, workers);
	return 0;
}

static int pool_recycle(void *arg, int slot, struct err *err)
{
	struct orders *o = arg;

	if (slot >= SLOT_COUNT || (slot >= 0 && !children_has(o->children, slot)))
		return err_set(err, ERR_PERMANENT, "there is no child in slot %d", slot);
	children_recycle(o->children, slot);
	return 0;
}

const struct pool_ops orders_pool_ops = {
	.config = pool_config_in_force,
	.role = pool_role,
	.crashes = pool_crashes,
	.restart_in_ms = pool_restart_in_ms,
	.pause = pool_pause,
	.drain = pool_drain,
	.open_breaker = pool_open_breaker,
	.close_breaker = pool_close_breaker,
	.set_log_level = pool_set_log_level,
	.reload = pool_reload,
	.scale = pool_scale,
	.recycle = pool_recycle,
};
