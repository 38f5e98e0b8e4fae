/*
 * What the control socket's commands see of the supervisor and ask of it. Runs in the parent, from
 * commands.c; whatever takes time (a drain, a rolling replacement) goes on after the answer.
 */
#include "supervisor_state.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config_check.h"
#include "config/config_load.h"
#include "process/daemon.h"
#include "process/environment.h"
#include "process/notify.h"
#include "process/wake.h"
#include "scoreboard/breaker.h"

const struct config *supervisor_config(const struct supervisor *s)
{
	return s->config;
}

struct scoreboard *supervisor_scoreboard(const struct supervisor *s)
{
	return s->sb;
}

const struct recent *supervisor_recent(const struct supervisor *s)
{
	return &s->recent;
}

unsigned supervisor_restarts(const struct supervisor *s, int slot)
{
	return s->slots[slot].history.crashes;
}

int64_t supervisor_restart_in_ms(const struct supervisor *s, int slot)
{
	const struct child_slot *cs = &s->slots[slot];
	int64_t in;

	if (cs->pid || !cs->wanted || !loop_timer_is_set(&cs->timer))
		return -1;
	in = cs->timer.at_ms - now_ms();
	return in > 0 ? in : 0;
}

static void wake_workers(const struct supervisor *s)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++)
		if (s->slots[i].pid)
			wake_slot(i);
}

void supervisor_pause(struct supervisor *s, bool paused)
{
	log_info(paused ? "paused by an operator: nothing is claimed" : "resumed by an operator");
	atomic_store(&s->sb->paused, paused);
	if (!paused)
		wake_workers(s);
}

void supervisor_close_breaker(struct supervisor *s)
{
	log_info("the breaker is closed by an operator");
	breaker_release(&s->sb->breaker);
	wake_workers(s);
}

void supervisor_drain(struct supervisor *s)
{
	children_stop(s, false);
}

int supervisor_scale(struct supervisor *s, int64_t workers, struct err *err)
{
	if (s->stopping)
		return err_set(err, ERR_PERMANENT, "the pool is stopping");
	if (workers < 1 || workers > SLOT_MAX_WORKERS)
		return err_set(err, ERR_PERMANENT, "%" PRId64 " workers; it must be from 1 to %d", workers,
			       SLOT_MAX_WORKERS);
	log_info("scaling to %" PRId64 " worker%s", workers, workers == 1 ? "" : "s");
	s->config->pool.workers = workers;
	children_set_workers(s, workers);
	return 0;
}

int supervisor_recycle(struct supervisor *s, int slot, struct err *err)
{
	if (slot >= SLOT_COUNT || (slot >= 0 && !s->slots[slot].pid))
		return err_set(err, ERR_PERMANENT, "there is no child in slot %d", slot);
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].pid && (i == slot || (slot < 0 && i != SLOT_JANITOR)))
			s->slots[i].stale = true;
	children_roll_on(s);
	return 0;
}

/* ---- reload ---- */

static void refuse_reload(struct config *fresh, const struct err *err)
{
	log_error("the configuration is not reloaded, the old one stays: %s", err->text);
	config_free(fresh);
	notify_ready();
}

static void put_in_force(struct supervisor *s, struct config *fresh)
{
	environment_hide(fresh->openai.api_key_env);
	config_free(s->config);
	s->config = fresh;
	atomic_fetch_add(&s->sb->reloads, 1);
	breaker_forget(&s->sb->breaker, now_ms());
	log_info("the configuration is reloaded; replacing the children one after another");
	for (int i = 0; i < SLOT_COUNT; i++)
		s->slots[i].stale = s->slots[i].pid != 0;
	children_set_limits(s);
	children_set_workers(s, fresh->pool.workers);
	children_roll_on(s);
	notify_ready();
}

void supervisor_tried(struct supervisor *s, struct config *fresh, struct err *err)
{
	if (err->kind == ERR_NONE &&
	    log_open(daemon_log_target(fresh, s->options.pid_file != NULL), (enum log_level)fresh->log.level, err) == 0)
		put_in_force(s, fresh);
	else
		refuse_reload(fresh, err);
	if (s->control)
		control_answer(s->control, err, "reloaded: the children are replaced one after the other\n");
}

/* One that comes while another is being tried takes its place, since the file may have changed. */
int supervisor_reload(struct supervisor *s, struct err *err)
{
	struct config *fresh;

	if (s->stopping)
		return err_set(err, ERR_PERMANENT, "the pool is stopping");
	trial_cancel(s);
	notify_reloading();
	fresh = config_load(s->options.config_path, err);
	if (fresh && config_check_reload(s->config, fresh, err) == 0 && trial_begin(s, fresh, err) == 0)
		return 0;
	refuse_reload(fresh, err);
	if (s->control)
		control_answer(s->control, err, "");
	return -1;
}
