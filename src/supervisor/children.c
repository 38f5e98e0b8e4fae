/*
 * The supervisor's children: starting, stopping, reaping, the hung, rolling replacement. Runs in the
 * parent; it decides nothing about when a crashed one comes back (restart.c) and touches no job.
 */
#include "supervisor_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "process/child.h"
#include "process/daemon.h"
#include "process/notify.h"
#include "process/signals.h"
#include "process/wake.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/breaker.h"

#define KILL_GRACE_MS 2000		/* after the drain time, and between ABRT and KILL */
#define AT_ONCE_GRACE_MS 1500
#define FORK_RETRY_MS 1000

static struct slot *shared(const struct child_slot *cs)
{
	return &cs->s->sb->slots[cs->index];
}

static const char *role(const struct child_slot *cs)
{
	return cs->index == SLOT_JANITOR ? "janitor" : "worker";
}

/* ---- starting children ---- */

static void __attribute__((noreturn)) become_child(struct child_slot *cs)
{
	struct supervisor *s = cs->s;
	struct child child = {
		.index = cs->index, .sb = s->sb, .config = s->config, .once = s->options.once,
	};

	close(s->deadman[1]);
	if (s->trial.fresh)
		close(s->trial.fd);
	if (s->ready_fd != -1) {	/* the command that started the daemon waits for our output to end */
		close(s->ready_fd);
		daemon_leave_terminal();
	}
	if (s->control)
		control_forget(s->control);
	child_begin(&child, role(cs), s->deadman[0]);
	exit(cs->index == SLOT_JANITOR ? janitor_main(&child) : worker_main(&child));
}

static void reset_slot(struct slot *slot, enum slot_state state)
{
	atomic_store(&slot->in_flight, 0);
	atomic_store(&slot->demand, DEMAND_NONE);
	atomic_store(&slot->woken, 0);
	atomic_store(&slot->ever_ready, 0);
	atomic_store(&slot->started_ms, now_ms());
	atomic_store(&slot->beat_ms, now_ms());
	shared_text_set(&slot->identity, "");
	atomic_store(&slot->state, state);
}

static uint64_t jobs_settled(const struct slot *slot)
{
	return atomic_load(&slot->counters[COUNTER_JOBS_COMPLETED]) +
	       atomic_load(&slot->counters[COUNTER_JOBS_FAILED]);
}

/* A fork that fails is a start that comes later. */
static void spawn(void *arg)
{
	struct child_slot *cs = arg;
	struct slot *slot = shared(cs);
	pid_t pid;

	if (cs->pid || !cs->wanted)
		return;
	reset_slot(slot, SLOT_STARTING);
	if (cs->index >= scoreboard_slots(cs->s->sb))
		atomic_store(&cs->s->sb->slots_used, (uint32_t)cs->index + 1);
	signals_block_all();
	pid = fork();
	if (pid == 0)
		become_child(cs);
	signals_unblock_all();
	if (pid == -1) {
		log_error("cannot fork a %s: %s; trying again in %d ms", role(cs), strerror(errno), FORK_RETRY_MS);
		atomic_store(&slot->state, SLOT_WAITING);
		supervisor_set_timer(cs->s, &cs->timer, FORK_RETRY_MS, spawn, cs);
		return;
	}
	cs->pid = pid;
	cs->stopping = cs->aborted = cs->stale = false;
	cs->settled = jobs_settled(slot);
	atomic_store(&slot->pid, pid);
	atomic_fetch_add(&slot->generation, 1);
}

/* ---- stopping children ---- */

static void kill_late(void *arg)
{
	struct child_slot *cs = arg;

	if (!cs->pid)
		return;
	log_warn("%s %d (pid %d) did not end in time; killing it", role(cs), cs->index, (int)cs->pid);
	kill(cs->pid, SIGKILL);
}

static void stop_child(struct child_slot *cs, int signo, int64_t patience_ms)
{
	if (!cs->pid)
		return;
	cs->stopping = true;
	kill(cs->pid, signo);
	supervisor_set_timer(cs->s, &cs->timer, patience_ms, kill_late, cs);
}

static void drain_child(struct child_slot *cs)
{
	stop_child(cs, SIGTERM, cs->s->config->pool.drain_ms + KILL_GRACE_MS);
}

static bool any_worker(const struct supervisor *s)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++)
		if (s->slots[i].pid)
			return true;
	return false;
}

void children_stop(struct supervisor *s, bool at_once)
{
	trial_cancel(s);
	if (!s->stopping)
		log_info("%s%s%s", at_once ? "stopping at once" : "draining, then stopping", s->reason[0] ? ": " : "",
			 s->reason);
	s->stopping = true;
	atomic_store(&s->sb->phase, POOL_DRAINING);
	notify_stopping();
	for (int i = SLOT_COUNT - 1; i >= 0; i--) {
		struct child_slot *cs = &s->slots[i];

		cs->wanted = false;
		if (!cs->pid) {
			loop_timer_stop(s->loop, &cs->timer);
			atomic_store(&shared(cs)->state, SLOT_EMPTY);
		} else if (i != SLOT_JANITOR && at_once) {
			stop_child(cs, SIGQUIT, AT_ONCE_GRACE_MS);
		} else if (i != SLOT_JANITOR) {
			drain_child(cs);
		}
	}
	if (!any_worker(s))
		stop_child(&s->slots[SLOT_JANITOR], SIGTERM, KILL_GRACE_MS);
}

/* ---- reaping ---- */

static void describe_end(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "ended with exit status %d", WEXITSTATUS(status));
}

/*
 * For the janitor: whose jobs to put back, and which job to blame, if any. KILL comes from outside: from
 * somebody who tidies up, or from the kernel when memory runs out. Our own follows on an abort that a hung
 * child did not heed; with a job in hand it hung in that.
 */
static void report_death(struct child_slot *cs, int status, const char *how)
{
	struct slot *slot = shared(cs);
	struct death d;
	char text[SCOREBOARD_TEXT];
	bool orderly = WIFEXITED(status) && WEXITSTATUS(status) != EXIT_FAILED, in_hand;

	if (cs->index == SLOT_JANITOR || !shared_text_get(&slot->identity, text) || !text[0])
		return;
	snprintf(d.identity, sizeof(d.identity), "%.*s", IDENTITY_SIZE - 1, text);
	snprintf(d.how, sizeof(d.how), "%s", how);
	in_hand = breadcrumb_get(&slot->in_hand, d.in_hand, &d.line);
	d.outside = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !(cs->aborted && in_hand);
	if (orderly || cs->stopping)
		strcpy(d.in_hand, DEATH_NO_BLAME);
	if (!deaths_push(&cs->s->sb->deaths, &d))
		log_warn("too many dead workers at once; the janitor finds this one's jobs by itself");
	wake_slot(SLOT_JANITOR);
}

static void start_later(struct child_slot *cs, int64_t delay_ms)
{
	atomic_store(&shared(cs)->state, delay_ms > 0 ? SLOT_WAITING : SLOT_STARTING);
	if (delay_ms > 0)
		supervisor_set_timer(cs->s, &cs->timer, delay_ms, spawn, cs);
	else
		spawn(cs);
}

static void restart_or_not(struct child_slot *cs, pid_t pid, int status, int64_t lived_ms, const char *how)
{
	struct supervisor *s = cs->s;
	bool useful = jobs_settled(shared(cs)) > cs->settled;
	struct restart_decision d = restart_decide(&cs->history, status, lived_ms, useful, s->up, (uint32_t)random());
	bool unexpected = !cs->stopping && !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED);

	if (unexpected && WIFSIGNALED(status)) {	/* it had no time to say so itself */
		char error[160];

		snprintf(error, sizeof(error), "pid %d %s", (int)pid, how);
		shared_text_set(&shared(cs)->error, error);
	}
	if (unexpected && cs->wanted && !d.stop_all) {
		atomic_fetch_add(&s->sb->restarts, 1);
		log_error("%s %d (pid %d) %s; starting it again %s", role(cs), cs->index, (int)pid, how,
			  d.delay_ms ? "later" : "at once");
	}
	if (cs->stopping)
		d = (struct restart_decision){ false, 0 };
	if (d.stop_all) {
		char reason[SCOREBOARD_TEXT];

		shared_text_get(&shared(cs)->error, reason);
		supervisor_fail(s, EXIT_BAD_CONFIG, reason);
	} else if (cs->wanted) {
		start_later(cs, d.delay_ms);
	} else {
		atomic_store(&shared(cs)->state, SLOT_EMPTY);
	}
}

/* --once: a worker that found the queue empty is done; trouble with the database ends them all. */
static void once_ended(struct child_slot *cs, int status)
{
	char reason[SCOREBOARD_TEXT];

	if (!WIFEXITED(status))
		return;
	if (WEXITSTATUS(status) == EXIT_STOPPED) {
		cs->wanted = cs->wanted && cs->index == SLOT_JANITOR;
	} else if (WEXITSTATUS(status) == EXIT_TRY_LATER) {
		cs->wanted = false;
		shared_text_get(&shared(cs)->error, reason);
		supervisor_fail(cs->s, EXIT_TRY_LATER, reason[0] ? reason : "the rater is not available");
	}
}

static void child_ended(struct child_slot *cs, int status)
{
	struct supervisor *s = cs->s;
	struct slot *slot = shared(cs);
	int64_t lived = now_ms() - atomic_load(&slot->started_ms);
	pid_t pid = cs->pid;
	char how[96];

	describe_end(status, how, sizeof(how));
	loop_timer_stop(s->loop, &cs->timer);
	cs->pid = 0;
	atomic_store(&slot->pid, 0);
	throttle_leave(&s->sb->throttle, cs->index);
	report_death(cs, status, how);
	breaker_probe_unused(&s->sb->breaker);	/* it may have been the one that probed */
	if (s->options.once)
		once_ended(cs, status);
	restart_or_not(cs, pid, status, lived, how);
	if ((s->stopping || s->options.once) && !any_worker(s) && s->slots[SLOT_JANITOR].pid) {
		s->slots[SLOT_JANITOR].wanted = false;
		stop_child(&s->slots[SLOT_JANITOR], SIGTERM, KILL_GRACE_MS);
	}
	children_roll_on(s);
}

void children_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SLOT_COUNT; i++)
			if (s->slots[i].pid == pid) {
				child_ended(&s->slots[i], status);
				break;
			}
}

/* ---- hung children ---- */

static void check_beats(void *arg)
{
	struct supervisor *s = arg;
	int64_t limit = s->config->pool.beat_ms, now = now_ms();

	supervisor_set_timer(s, &s->beat_timer, limit / 4, check_beats, s);
	for (int i = 0; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &s->slots[i];
		int64_t silent = now - atomic_load(&shared(cs)->beat_ms);

		if (!cs->pid || cs->aborted || silent <= limit)
			continue;
		log_error("%s %d (pid %d) has not been heard of for %d ms; it hangs: aborting it", role(cs), i,
			  (int)cs->pid, (int)silent);
		cs->aborted = true;
		kill(cs->pid, SIGABRT);
		supervisor_set_timer(s, &cs->timer, KILL_GRACE_MS, kill_late, cs);
	}
}

/* ---- rolling replacement ---- */

void children_roll_on(struct supervisor *s)
{
	int away = 0, allowed = (int)(s->config->pool.workers + 1) / 2;	/* 1 at least */

	if (s->stopping)
		return;
	for (int i = 0; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &s->slots[i];
		bool at_work = atomic_load(&shared(cs)->ever_ready);

		if (cs->stale && cs->pid && !cs->stopping && !at_work)
			drain_child(cs);	/* nobody misses it, and the old settings may be why */
		away += cs->wanted && (cs->stopping || !at_work);
	}
	for (int i = 0; i < SLOT_COUNT && away < allowed; i++) {
		struct child_slot *cs = &s->slots[i];

		if (!cs->stale || cs->stopping || !cs->pid)
			continue;
		drain_child(cs);
		away++;
	}
}

void children_set_limits(struct supervisor *s)
{
	const struct config *config = s->config;
	bool metered = config_rates_with(config, RATER_OPENAI);

	throttle_set(&s->sb->throttle, metered ? config->openai.requests_per_minute : 0,
		     metered ? config->openai.tokens_per_minute : 0, now_ms());
}

void children_set_workers(struct supervisor *s, int64_t n)
{
	atomic_store(&s->sb->workers, (uint32_t)n);
	for (int i = SLOT_FIRST_WORKER; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &s->slots[i];
		bool wanted = i <= n && !s->stopping;

		if (wanted && !cs->wanted) {
			cs->wanted = true;
			cs->history = (struct restart_history){ 0 };
			spawn(cs);
		} else if (!wanted && cs->wanted) {
			cs->wanted = false;
			if (cs->pid) {
				drain_child(cs);
			} else {
				loop_timer_stop(s->loop, &cs->timer);
				atomic_store(&shared(cs)->state, SLOT_EMPTY);
			}
		}
	}
}

/* ---- all of them ---- */

bool children_all_ready(const struct supervisor *s)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].wanted && !atomic_load(&s->sb->slots[i].ever_ready))
			return false;
	return true;
}

bool children_any(const struct supervisor *s)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (s->slots[i].pid || s->slots[i].wanted)
			return true;
	return false;
}

void children_start(struct supervisor *s)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		s->slots[i] = (struct child_slot){ .s = s, .index = i };
	children_set_limits(s);
	atomic_store(&s->sb->slots_used, 0);
	s->slots[SLOT_JANITOR].wanted = true;
	spawn(&s->slots[SLOT_JANITOR]);
	children_set_workers(s, s->config->pool.workers);
	supervisor_set_timer(s, &s->beat_timer, s->config->pool.beat_ms / 4, check_beats, s);
}
