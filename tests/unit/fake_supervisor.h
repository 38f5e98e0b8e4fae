/*
 * A supervisor without children: the functions the control socket's commands call, over a scoreboard
 * that the test fills, and a record of what was asked of it. For test_commands, test_control and
 * fuzz_control; the real supervisor.c, breaker.c and config.c stay out of those programs.
 */
#ifndef FAKE_SUPERVISOR_H
#define FAKE_SUPERVISOR_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/table.h"
#include "config/config.h"
#include "config/config_show.h"
#include "scoreboard/breaker.h"
#include "scoreboard/scoreboard.h"
#include "supervisor/supervisor.h"

struct supervisor {
	struct config config;
	struct scoreboard *sb;
	int actions;			/* all that was asked, in number */
	char last[64];			/* and the last of it */
	bool refuse;			/* what can fail, fails */
	unsigned crashes;
	int64_t restart_in_ms;
	enum breaker_state breaker;
	int config_rows;		/* how much "show config" has to say */
	struct recent recent;
};

static struct supervisor fake;

static void fake_reset(void)
{
	if (fake.sb)
		munmap(fake.sb, sizeof(*fake.sb));
	fake = (struct supervisor){ .sb = scoreboard_new(), .restart_in_ms = -1, .config_rows = 1 };
	fake.config.rater.backend = RATER_OPENAI;
	fake.config.rater.fallback = RATER_NONE;
	fake.config.openai.model = "model-x";
	fake.config.openai.requests_per_minute = 600;
	fake.config.openai.tokens_per_minute = 90000;
}

static int acted(const char *what, long long number, struct err *err)
{
	fake.actions++;
	snprintf(fake.last, sizeof(fake.last), "%s %lld", what, number);
	return fake.refuse ? err_set(err, ERR_PERMANENT, "%s refused", what) : 0;
}

const struct config *supervisor_config(const struct supervisor *s)
{
	return &s->config;
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
	return slot == SLOT_FIRST_WORKER ? s->crashes : 0;
}

int64_t supervisor_restart_in_ms(const struct supervisor *s, int slot)
{
	return slot == SLOT_FIRST_WORKER ? s->restart_in_ms : -1;
}

void supervisor_pause(struct supervisor *s, bool paused)
{
	atomic_store(&s->sb->paused, paused);
	acted("pause", paused, NULL);
}

void supervisor_drain(struct supervisor *s)
{
	(void)s;
	acted("drain", 1, NULL);
}

int supervisor_reload(struct supervisor *s, struct err *err)
{
	(void)s;
	return acted("reload", 1, err);
}

int supervisor_scale(struct supervisor *s, int64_t workers, struct err *err)
{
	(void)s;
	return acted("scale", workers, err);
}

int supervisor_recycle(struct supervisor *s, int slot, struct err *err)
{
	(void)s;
	return acted("recycle", slot, err);
}

void config_show(const struct config *config, struct table *table)
{
	for (int i = 0; i < fake.config_rows; i++) {
		table_row(table);
		table_text(table, "openai.model");
		table_text(table, config->openai.model);
		table_text(table, "");
		table_bool(table, true);
	}
}

enum breaker_state breaker_state(const struct breaker *b, int64_t now)
{
	(void)b, (void)now;
	return fake.breaker;
}

void breaker_hold(struct breaker *b, const char *reason)
{
	atomic_store(&b->held, 1);
	shared_text_set(&b->reason, reason);
	fake.breaker = BREAKER_OPEN;
	acted("hold", 1, NULL);
}

void supervisor_close_breaker(struct supervisor *s)
{
	atomic_store(&s->sb->breaker.held, 0);
	fake.breaker = BREAKER_CLOSED;
	acted("release", 1, NULL);
}

#endif
