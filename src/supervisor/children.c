/*
 * The children of the pool, slot by slot. Runs in the supervisor; it touches no job, waits for
 * nobody, and knows neither what its children do nor who asks it to start and stop them.
 */
#include "children.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/saturate.h"
#include "process/child.h"
#include "process/signals.h"
#include "process/wake.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/breaker.h"
#include "patient_timer.h"

#define KILL_GRACE_MS 3000		/* after the drain time, and between ABRT and KILL */
#define AT_ONCE_GRACE_MS 2500
#define FORK_RETRY_MS 1000
#define LAST_WORDS_MS 6000		/* for the publisher, to carry what was settled last */

static struct slot *shared(const struct child_slot *cs)
{
	return &cs->all->sb->slots[cs->index];
}

static const struct role_ops *role(const struct child_slot *cs)
{
	return &cs->all->roles[slot_role(cs->index)];
}

/* ---- starting children ---- */

static void __attribute__((noreturn)) become_child(const struct child_slot *cs)
{
	const struct children *all = cs->all;
	struct child child = {
		.index = cs->index, .sb = all->sb, .config = all->config, .once = all->once
	};

	all->owner.after_fork(all->owner.arg);
	child_begin(&child, role(cs)->name, all->deadman_fd);
	exit(role(cs)->main(&child));
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
	return sat_count(atomic_load(&slot->counters[COUNTER_JOBS_COMPLETED]),
			 atomic_load(&slot->counters[COUNTER_JOBS_FAILED]));
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
	if (cs->index >= scoreboard_slots(cs->all->sb) && cs->index != SLOT_PUBLISHER)
		atomic_store(&cs->all->sb->slots_used, (uint32_t)cs->index + 1);
	signals_block_all();
	pid = fork();
	if (pid == 0)
		become_child(cs);
	signals_unblock_all();
	if (pid == -1) {
		log_error("cannot fork a %s: %s; trying again in %d ms", role(cs)->name,
			  strerror(errno), FORK_RETRY_MS);
		atomic_store(&slot->state, SLOT_WAITING);
		patient_timer_set(cs->all->loop, &cs->timer, FORK_RETRY_MS, spawn, cs);
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
	log_warn("%s %d (pid %d) did not end in time; killing it", role(cs)->name, cs->index,
		 (int)cs->pid);
	kill(cs->pid, SIGKILL);
}

static void stop_child(struct child_slot *cs, int signo, int64_t patience_ms)
{
	if (!cs->pid)
		return;
	cs->stopping = true;
	kill(cs->pid, signo);
	patient_timer_set(cs->all->loop, &cs->timer, patience_ms, kill_late, cs);
}

static void drain_child(struct child_slot *cs)
{
	stop_child(cs, SIGTERM, cs->all->config->pool.drain_ms + KILL_GRACE_MS);
}

static bool any_worker(const struct children *c)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_PUBLISHER; i++)
		if (c->slots[i].pid)
			return true;
	return false;
}

/* Those that others may still have need of: they go when no worker is left. */
static bool is_last(int slot)
{
	return slot_role(slot) != ROLE_WORKER;
}

static void stop_last(struct children *c)
{
	stop_child(&c->slots[SLOT_PUBLISHER], SIGTERM, LAST_WORDS_MS);
	stop_child(&c->slots[SLOT_JANITOR], SIGTERM, KILL_GRACE_MS);
}

void children_stop(struct children *c, bool at_once)
{
	c->stopping = true;
	for (int i = SLOT_COUNT - 1; i >= 0; i--) {
		struct child_slot *cs = &c->slots[i];

		cs->wanted = false;
		if (!cs->pid) {
			loop_timer_stop(c->loop, &cs->timer);
			atomic_store(&shared(cs)->state, SLOT_EMPTY);
		} else if (at_once && (!is_last(i) || i == SLOT_PUBLISHER)) {
			stop_child(cs, SIGQUIT, AT_ONCE_GRACE_MS);
		} else if (!is_last(i)) {
			drain_child(cs);
		}
	}
	if (!any_worker(c))
		stop_last(c);
}

/* ---- rolling replacement ---- */

/*
 * Replaces stale children, at most half of the pool at a time, the next when a fresh one is at
 * work.
 */
static void roll_on(struct children *c)
{
	int away = 0, allowed = (int)(c->config->pool.workers + 1) / 2;	/* 1 at least */

	if (c->stopping)
		return;
	for (int i = 0; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &c->slots[i];
		bool at_work = atomic_load(&shared(cs)->ever_ready);

		/* Nobody misses it, and the old settings may be why. */
		if (cs->stale && cs->pid && !cs->stopping && !at_work)
			drain_child(cs);
		away += i != SLOT_PUBLISHER && cs->wanted && (cs->stopping || !at_work);
	}
	for (int i = 0; i < SLOT_COUNT && away < allowed; i++) {
		struct child_slot *cs = &c->slots[i];

		if (!cs->stale || cs->stopping || !cs->pid)
			continue;
		drain_child(cs);
		away += i != SLOT_PUBLISHER;	/* no job waits for it */
	}
}

/* ---- reaping ---- */

static void describe_end(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "ended with exit status %d", WEXITSTATUS(status));
}

/* Returns whether its CPU was in the job in hand. */
static bool read_crumb(const struct breadcrumb *b, struct death *d)
{
	bool inside = breadcrumb_get(b, d->in_hand, &d->claim, &d->line);

	d->witness = inside ? DEATH_INSIDE : DEATH_BESIDE;
	if (!inside)
		breadcrumb_get_only(b, d->in_hand, &d->claim);
	return inside;
}

/*
 * For the janitor: whose jobs to put back, and which job to blame, if any. KILL comes from outside:
 * from somebody who tidies up, or from the kernel when memory runs out. Our own follows on an abort
 * that a hung child did not heed; with a job in hand it hung in that.
 */
static void report_death(struct child_slot *cs, int status, const char *how)
{
	struct slot *slot = shared(cs);
	struct death d;
	char text[SCOREBOARD_TEXT];
	bool orderly = WIFEXITED(status) && WEXITSTATUS(status) != EXIT_FAILED, in_hand;

	if (slot_role(cs->index) != ROLE_WORKER)
		return;
	if (!orderly)		/* it may have settled jobs and told nobody */
		news_lost(&cs->all->sb->news_desk);
	if (!shared_text_get(&slot->identity, text) || !text[0])
		return;
	snprintf(d.identity, sizeof(d.identity), "%.*s", IDENTITY_SIZE - 1, text);
	snprintf(d.how, sizeof(d.how), "%s", how);
	in_hand = read_crumb(&slot->in_hand, &d);
	d.outside = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !(cs->aborted && in_hand);
	if (orderly || cs->stopping) {
		strcpy(d.in_hand, DEATH_NO_BLAME);
		d.witness = DEATH_INSIDE;
	}
	if (!deaths_push(&cs->all->sb->deaths, &d))
		log_warn("too many dead workers at once; the janitor finds this one's jobs by "
			 "itself");
	wake_slot(SLOT_JANITOR);
}

static void start_later(struct child_slot *cs, int64_t delay_ms)
{
	atomic_store(&shared(cs)->state, delay_ms > 0 ? SLOT_WAITING : SLOT_STARTING);
	if (delay_ms > 0)
		patient_timer_set(cs->all->loop, &cs->timer, delay_ms, spawn, cs);
	else
		spawn(cs);
}

static void restart_or_not(struct child_slot *cs, pid_t pid, int status, int64_t lived_ms,
			   const char *how)
{
	struct children *c = cs->all;
	bool useful = jobs_settled(shared(cs)) > cs->settled;
	struct restart_decision d = restart_decide(&cs->history, status, lived_ms, useful, c->up,
						   (uint32_t)random());
	bool unexpected = !cs->stopping &&
		!(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED);

	if (unexpected && WIFSIGNALED(status)) {	/* it had no time to say so itself */
		char error[160];

		snprintf(error, sizeof(error), "pid %d %s", (int)pid, how);
		shared_text_set(&shared(cs)->error, error);
	}
	if (d.stop_all && cs->index == SLOT_PUBLISHER)	/* the pool does its work without it */
		d = (struct restart_decision){ false, FORK_RETRY_MS };
	if (unexpected && cs->wanted && !d.stop_all) {
		atomic_fetch_add(&c->sb->restarts, 1);
		log_error("%s %d (pid %d) %s; starting it again %s", role(cs)->name, cs->index,
			  (int)pid, how, d.delay_ms ? "later" : "at once");
	}
	if (cs->stopping)
		d = (struct restart_decision){ false, 0 };
	if (d.stop_all) {
		char reason[SCOREBOARD_TEXT];

		shared_text_get(&shared(cs)->error, reason);
		c->owner.unfit(c->owner.arg, EXIT_BAD_CONFIG, reason);
	} else if (cs->wanted) {
		start_later(cs, d.delay_ms);
	} else {
		atomic_store(&shared(cs)->state, SLOT_EMPTY);
	}
}

/* --once: a worker that found the queue empty is done; trouble with the database ends them all. */
static void once_ended(struct child_slot *cs, int status)
{
	const struct children_owner *owner = &cs->all->owner;
	char reason[SCOREBOARD_TEXT];

	if (!WIFEXITED(status))
		return;
	if (WEXITSTATUS(status) == EXIT_STOPPED) {
		cs->wanted = cs->wanted && is_last(cs->index);
	} else if (WEXITSTATUS(status) == EXIT_TRY_LATER) {
		cs->wanted = false;
		shared_text_get(&shared(cs)->error, reason);
		owner->unfit(owner->arg, EXIT_TRY_LATER,
			     reason[0] ? reason : "the rater is not available");
	}
}

static void child_ended(struct child_slot *cs, int status)
{
	struct children *c = cs->all;
	struct slot *slot = shared(cs);
	int64_t lived = sat_sub(now_ms(), atomic_load(&slot->started_ms));
	pid_t pid = cs->pid;
	char how[96];

	describe_end(status, how, sizeof(how));
	loop_timer_stop(c->loop, &cs->timer);
	cs->pid = 0;
	atomic_store(&slot->pid, 0);
	throttle_leave(&c->sb->throttle, cs->index);
	report_death(cs, status, how);
	breaker_probe_unused(&c->sb->breaker);	/* it may have been the one that probed */
	if (c->once)
		once_ended(cs, status);
	restart_or_not(cs, pid, status, lived, how);
	if ((c->stopping || c->once) && !any_worker(c)) {
		c->slots[SLOT_JANITOR].wanted = c->slots[SLOT_PUBLISHER].wanted = false;
		stop_last(c);
	}
	roll_on(c);
}

void children_reap(struct children *c)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SLOT_COUNT; i++)
			if (c->slots[i].pid == pid) {
				child_ended(&c->slots[i], status);
				break;
			}
}

/* ---- hung children ---- */

static void check_beats(void *arg)
{
	struct children *c = arg;
	int64_t limit = c->config->pool.beat_ms, now = now_ms();

	patient_timer_set(c->loop, &c->beat_timer, limit / 4, check_beats, c);
	for (int i = 0; i < SLOT_COUNT; i++) {
		struct child_slot *cs = &c->slots[i];
		int64_t silent = sat_sub(now, atomic_load(&shared(cs)->beat_ms));

		if (!cs->pid || cs->aborted || silent <= limit)
			continue;
		log_error("%s %d (pid %d) has not been heard of for %" PRId64 " ms; it hangs: "
			  "aborting it", role(cs)->name, i, (int)cs->pid, silent);
		cs->aborted = true;
		kill(cs->pid, SIGABRT);
		patient_timer_set(c->loop, &cs->timer, KILL_GRACE_MS, kill_late, cs);
	}
}

/* ---- all of them ---- */

void children_scale(struct children *c, int64_t n)
{
	atomic_store(&c->sb->workers, (uint32_t)n);
	for (int i = SLOT_FIRST_WORKER; i < SLOT_PUBLISHER; i++) {
		struct child_slot *cs = &c->slots[i];
		bool wanted = i <= n && !c->stopping;

		if (wanted && !cs->wanted) {
			cs->wanted = true;
			cs->history = (struct restart_history){ 0 };
			spawn(cs);
		} else if (!wanted && cs->wanted) {
			cs->wanted = false;
			if (cs->pid) {
				drain_child(cs);
			} else {
				loop_timer_stop(c->loop, &cs->timer);
				atomic_store(&shared(cs)->state, SLOT_EMPTY);
			}
		}
	}
}

void children_replace(struct children *c, const struct config *config)
{
	c->config = config;
	for (int i = 0; i < SLOT_COUNT; i++)
		c->slots[i].stale = c->slots[i].pid != 0;
	children_scale(c, config->pool.workers);
	roll_on(c);
}

void children_recycle(struct children *c, int slot)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (c->slots[i].pid && (i == slot || (slot < 0 && i != SLOT_JANITOR)))
			c->slots[i].stale = true;
	roll_on(c);
}

void children_publish(struct children *c)
{
	struct child_slot *cs = &c->slots[SLOT_PUBLISHER];
	bool wanted = atomic_load(&c->sb->channels) != 0 && !c->stopping;

	if (wanted == cs->wanted)
		return;
	cs->wanted = wanted;
	cs->history = (struct restart_history){ 0 };
	if (wanted) {
		spawn(cs);
	} else if (cs->pid) {
		drain_child(cs);
	} else {
		loop_timer_stop(c->loop, &cs->timer);
		atomic_store(&shared(cs)->state, SLOT_EMPTY);
	}
}

static bool all_were_ready(const struct children *c)
{
	for (int i = 0; i < SLOT_PUBLISHER; i++)
		if (c->slots[i].wanted && !atomic_load(&c->sb->slots[i].ever_ready))
			return false;
	return true;
}

bool children_one_is_ready(struct children *c)
{
	bool first = !c->up && all_were_ready(c);

	c->up |= first;
	roll_on(c);
	return first;
}

bool children_any(const struct children *c)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (c->slots[i].pid || c->slots[i].wanted)
			return true;
	return false;
}

bool children_has(const struct children *c, int slot)
{
	return c->slots[slot].pid != 0;
}

bool children_explain(const struct children *c, char *out)
{
	for (int i = 0; i < SLOT_COUNT; i++) {
		const struct slot *slot = &c->sb->slots[i];

		if (c->slots[i].wanted && !atomic_load(&slot->ever_ready) &&
		    atomic_load(&slot->error.wall_ms) && shared_text_get(&slot->error, out))
			return true;
	}
	return false;
}

int64_t children_restart_in_ms(const struct children *c, int slot)
{
	const struct child_slot *cs = &c->slots[slot];
	int64_t in;

	if (cs->pid || !cs->wanted || !loop_timer_is_set(&cs->timer))
		return -1;
	in = cs->timer.at_ms - now_ms();
	return in > 0 ? in : 0;
}

void children_signal(struct children *c, int signo)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		if (c->slots[i].pid)
			kill(c->slots[i].pid, signo);
}

void children_wake_workers(const struct children *c)
{
	for (int i = SLOT_FIRST_WORKER; i < SLOT_PUBLISHER; i++)
		if (c->slots[i].pid)
			wake_slot(i);
}

void children_start(struct children *c)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		c->slots[i] = (struct child_slot){ .all = c, .index = i };
	atomic_store(&c->sb->slots_used, 0);
	/* The janitor might find out too late: then it does so by itself. */
	if (c->once && c->config->mirror != MIRROR_OFF)
		atomic_fetch_or(&c->sb->channels, 1u << CHANNEL_MIRROR);
	if (c->once && c->config->webhooks.hooks.n > 0)
		atomic_fetch_or(&c->sb->channels, 1u << CHANNEL_WEBHOOKS);
	c->slots[SLOT_JANITOR].wanted = true;
	spawn(&c->slots[SLOT_JANITOR]);
	children_scale(c, c->config->pool.workers);
	children_publish(c);
	patient_timer_set(c->loop, &c->beat_timer, c->config->pool.beat_ms / 4, check_beats, c);
}
