/*
 * What every child does just after fork: signals, descriptors, title, the dead-man pipe. Runs in
 * workers, the janitor and the publisher. It never talks to the database.
 */
#include "process/child.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "config/config_check.h"
#include "process/environment.h"
#include "process/identity.h"
#include "process/signals.h"
#include "process/wake.h"
#include "scoreboard/breadcrumb.h"
#include "scoreboard/trouble.h"

static void on_signals(void *arg, int fd, short revents)
{
	struct child *c = arg;
	int signo;

	(void)revents;
	while ((signo = signals_next(fd)) != 0) {
		if (signo == SIGUSR1)
			log_reopen();
		else if (signo == SIGTERM || signo == SIGQUIT)
			c->on_stop(c->arg, signo == SIGQUIT);
		/* INT and HUP are for the supervisor; a terminal sends them to all of us */
	}
}

/* The write end is the supervisor's alone: end of file means that it is gone. */
static void on_deadman(void *arg, int fd, short revents)
{
	struct child *c = arg;

	(void)revents;
	loop_unwatch(c->loop, fd);
	log_warn("the supervisor is gone; stopping");
	c->on_stop(c->arg, true);
}

static void on_wake(void *arg, int fd, short revents)
{
	struct child *c = arg;

	(void)revents;
	wake_drain(fd);
	atomic_store(&c->slot->woken, 0);
	if (c->on_wake)
		c->on_wake(c->arg);
}

static void name_process(const char *role, int index)
{
	char name[16];

	snprintf(name, sizeof(name), slot_role(index) == ROLE_WORKER ? "grd-%s-%d" : "grd-%s", role,
		 index);
	prctl(PR_SET_NAME, name);
}

void child_begin(struct child *c, const char *role, int deadman_fd)
{
	int signal_fd = signals_open();

	/* Who needs the key has it from the configuration. */
	config_each_variable(c->config, environment_forget);
	c->slot = &c->sb->slots[c->index];
	log_account(&c->slot->log_loss);
	log_identify(role, slot_role(c->index) == ROLE_WORKER ? c->index : -1);
	name_process(role, c->index);
	c->loop = loop_new();
	if (signal_fd == -1 || !c->loop ||
	    loop_watch(c->loop, signal_fd, POLLIN, on_signals, c) == -1 ||
	    loop_watch(c->loop, deadman_fd, POLLIN, on_deadman, c) == -1 ||
	    loop_watch(c->loop, wake_fd(c->index), POLLIN, on_wake, c) == -1)
		fatal("cannot set up the child: out of memory or descriptors");
	identity_self(c->identity);
	shared_text_set(&c->slot->identity, c->identity);
	breadcrumb_begin(&c->slot->in_hand);
	trouble_begin(&c->slot->error);
	learnt_begin(&c->sb->learnt);
	srandom((unsigned)(now_ms() ^ ((int64_t)getpid() << 16)));
	signals_unblock_all();
	child_state(c, SLOT_CONNECTING);
}

void child_turn(struct child *c, int64_t max_wait_ms)
{
	int64_t beat = c->config->pool.beat_ms / 3;

	log_catch_up();
	atomic_store_explicit(&c->slot->beat_ms, now_ms(), memory_order_relaxed);
	loop_turn(c->loop, max_wait_ms < 0 || max_wait_ms > beat ? beat : max_wait_ms);
	atomic_store_explicit(&c->slot->beat_ms, now_ms(), memory_order_relaxed);
}

void child_state(struct child *c, enum slot_state state)
{
	bool ready = state == SLOT_IDLE || state == SLOT_BUSY;

	if (atomic_load(&c->slot->state) != state)
		atomic_store(&c->slot->state, state);
	if (ready && !atomic_exchange(&c->slot->ever_ready, 1))
		wake_supervisor();
}

void child_database_up(struct child *c)
{
	atomic_store(&c->sb->ever_up, 1);
	if (atomic_exchange(&c->sb->database_away, 0))
		log_info("the database is back");
}

int child_database_down(struct child *c, bool refused, const char *why)
{
	const uint32_t how = refused ? DATABASE_REFUSES : DATABASE_AWAY;

	trouble_say(why);
	if (refused && !atomic_load(&c->sb->ever_up))
		return EXIT_BAD_CONFIG;
	if (c->once)
		return EXIT_TRY_LATER;
	if (atomic_exchange(&c->sb->database_away, how) != how)
		log_warn("%s; trying again until it is back", why);
	else
		log_debug("%s", why);
	return -1;
}
