/*
 * The configuration: one table of keys in config_keys.c (path, type, place, default, range, what a
 * reload may change, help) fills one struct, read-only once loaded. A reload loads a second one and
 * swaps. Children inherit it through fork. No libpq, libcurl or json-c here: the supervisor loads it.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf;
struct table;

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION };
enum rater_backend { RATER_RUBRIC, RATER_OPENAI, RATER_COMMAND, RATER_NONE };
enum response_format { RESPONSE_JSON_SCHEMA, RESPONSE_JSON_OBJECT, RESPONSE_NONE };

struct string_list { char **items; size_t n; };

struct config {
	char *path;			/* the file it came from, absolute */
	struct {
		char *conninfo;		/* may hold a password: never shown */
		char *listen_conninfo;
		int pool_mode;		/* enum pool_mode */
	} database;
	struct {
		int64_t workers, in_flight, claim_batch, max_jobs;
		int64_t drain_ms, beat_ms;
		char *user;
	} pool;
	struct {
		int64_t poll_ms, stuck_after_ms, job_deadline_ms, keep_completed_ms, keep_failed_ms;
	} queue;
	struct {
		int backend;		/* enum rater_backend, not RATER_NONE */
		int fallback;		/* enum rater_backend: rates while the breaker is open */
		struct string_list scale;
		int64_t alternatives;	/* at most so many a line */
		int64_t context_lines;	/* neighbours before and after each line that the rater sees */
		char *prompt_file;	/* "": the built-in prompt */
		int64_t lines_per_call;
	} rater;
	struct {
		char *file;		/* "": the built-in copy of etc/rubric.conf */
	} rubric;
	struct {
		char *base_url, *model, *api_key_env, *api_key_file;
		char *ca_file;		/* "": the system's certificates */
		char *proxy;		/* "": as the environment says; "none"; or a URL, which may hold a password */
		int64_t timeout_ms, requests_per_minute, tokens_per_minute;
		int response_format;	/* enum response_format */
		char *api_key;		/* no key of the file: read from the two above; NULL when there is none */
		int64_t prompt_price, completion_price;	/* of a million tokens, in millionths; both 0: not known */
	} openai;
	struct {
		struct string_list argv;	/* the program's absolute path and its arguments; may be empty */
		int64_t timeout_ms;
	} command;
	struct { int64_t ttl_ms; } cache;
	struct { char *socket, *group, *pid_file; } control;
	struct { char *to; int level; } log;
};

/*
 * Loads path (NULL: the default path below), checks every key and every pair of keys that exclude each
 * other, and reads the API key. Returns NULL and err ("FILE:LINE: reason"), kind ERR_CONFIG.
 */
struct config *config_load(const char *path, struct err *err);
/* For gradingctl: the same without the API key, which its user may have no right to read. */
struct config *config_load_client(const char *path, struct err *err);
/* The same from text, as if it stood in a file at path; reads no file and no environment. */
struct config *config_parse_string(const char *text, const char *path, struct err *err);
void config_free(struct config *config);	/* wipes secrets; NULL is fine */

/* Whether a backend rates in this configuration, be it as the fallback. */
static inline bool config_rates_with(const struct config *config, enum rater_backend backend)
{
	return config->rater.backend == (int)backend || config->rater.fallback == (int)backend;
}

/* Without a price there is no cost to tell of. */
static inline bool config_has_prices(const struct config *config)
{
	return config->openai.prompt_price > 0 || config->openai.completion_price > 0;
}

/* Refuses what cannot change without a restart; err names the key. */
int config_check_reload(const struct config *old, const struct config *new, struct err *err);

/* Rows of (key, value, default, reload): secrets starred. For `show config`. */
void config_show(const struct config *config, struct table *table);

/* A line a key: path, type, default as a file has it, "yes" or "restart", help; tabs between. */
void config_list(struct buf *out);

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_DEFAULT_PATH SYSCONFDIR "/gradingd/gradingd.conf"

#endif
