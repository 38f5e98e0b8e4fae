/*
 * A pool without children: what the control socket's commands show and ask, over a scoreboard that
 * the test fills and a configuration of presets, and a record of what was asked of it. For
 * test_commands, test_control, test_prometheus and fuzz_control.
 */
#ifndef FAKE_POOL_H
#define FAKE_POOL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "config/config_keys.h"
#include "config/config_value.h"
#include "control/pool.h"
#include "scoreboard/breaker.h"

static struct {
	struct config config;
	struct scoreboard *sb;
	int actions;			/* all that was asked, in number */
	char last[64];			/* and the last of it */
	bool refuse;			/* what can fail, fails */
	unsigned crashes;
	int64_t restart_in_ms;
	struct recent recent;
	struct pool pool;
} fake;

static int acted(const char *what, long long number, struct err *err)
{
	fake.actions++;
	snprintf(fake.last, sizeof(fake.last), "%s %lld", what, number);
	return fake.refuse ? err_set(err, ERR_PERMANENT, "%s refused", what) : 0;
}

static const struct config *fake_config(void *arg)
{
	(void)arg;
	return &fake.config;
}

static const char *fake_role(void *arg, int slot)
{
	(void)arg;
	return slot == SLOT_JANITOR ? "janitor" : "worker";
}

static unsigned fake_crashes(void *arg, int slot)
{
	(void)arg;
	return slot == SLOT_FIRST_WORKER ? fake.crashes : 0;
}

static int64_t fake_restart_in_ms(void *arg, int slot)
{
	(void)arg;
	return slot == SLOT_FIRST_WORKER ? fake.restart_in_ms : -1;
}

static void fake_pause(void *arg, bool paused)
{
	(void)arg;
	atomic_store(&fake.sb->paused, paused);
	acted("pause", paused, NULL);
}

static void fake_drain(void *arg)
{
	(void)arg;
	acted("drain", 1, NULL);
}

static void fake_open_breaker(void *arg, const char *reason)
{
	(void)arg;
	breaker_hold(&fake.sb->breaker, reason);
	acted("hold", 1, NULL);
}

static void fake_close_breaker(void *arg)
{
	(void)arg;
	breaker_release(&fake.sb->breaker);
	acted("release", 1, NULL);
}

static void fake_set_log_level(void *arg, enum log_level level)
{
	(void)arg;
	log_set_level(level);
	acted("log", level, NULL);
}

static int fake_reload(void *arg, struct err *err)
{
	(void)arg;
	return acted("reload", 1, err);
}

static int fake_scale(void *arg, int64_t workers, struct err *err)
{
	(void)arg;
	return acted("scale", workers, err);
}

static int fake_recycle(void *arg, int slot, struct err *err)
{
	(void)arg;
	return acted("recycle", slot, err);
}

static const struct pool_ops fake_ops = {
	.config = fake_config,
	.role = fake_role,
	.crashes = fake_crashes,
	.restart_in_ms = fake_restart_in_ms,
	.pause = fake_pause,
	.drain = fake_drain,
	.open_breaker = fake_open_breaker,
	.close_breaker = fake_close_breaker,
	.set_log_level = fake_set_log_level,
	.reload = fake_reload,
	.scale = fake_scale,
	.recycle = fake_recycle,
};

static void fake_set(const char *path, const char *value)
{
	const struct config_key *key = config_key_find(path);

	if (!key || config_value_parse(key, &fake.config, value) == -1)
		abort();
}

static void fake_reset(void)
{
	if (fake.sb)
		munmap(fake.sb, sizeof(*fake.sb));
	for (size_t i = 0; i < config_keys_n; i++)
		config_value_free(&config_keys[i], &fake.config);
	memset(&fake, 0, sizeof(fake));
	fake.sb = scoreboard_new();
	if (!fake.sb)
		abort();
	fake.restart_in_ms = -1;
	fake.pool = (struct pool){ .ops = &fake_ops, .sb = fake.sb, .recent = &fake.recent };
	for (size_t i = 0; i < config_keys_n; i++)
		fake_set(config_keys[i].path, config_keys[i].preset);
	fake_set("rater.backend", "openai");
	fake_set("openai.model", "model-x");
	fake_set("openai.requests_per_minute", "600");
	fake_set("openai.tokens_per_minute", "90000");
}

/* Opened by somebody for half a minute, and closed again. */
static inline void fake_trip(void)
{
	atomic_store(&fake.sb->breaker.until_ms, now_ms() + 30000);
}

static inline void fake_untrip(void)
{
	atomic_store(&fake.sb->breaker.until_ms, 0);
}

#endif
