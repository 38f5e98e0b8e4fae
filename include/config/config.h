/*
 * The configuration as all others see it: one struct, read-only once it is loaded. A reload loads a
 * second one and swaps. Children inherit it through fork. Who loads, checks and shows it:
 * config_load.h, config_check.h, config_show.h.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION };
enum rater_backend { RATER_RUBRIC, RATER_OPENAI, RATER_COMMAND, RATER_NONE };
enum mirror_choice { MIRROR_AUTO, MIRROR_ON, MIRROR_OFF };
enum webhook_events { WEBHOOK_END, WEBHOOK_STEP };
enum session_grading { SESSION_GRADING_ON, SESSION_GRADING_OFF };
enum response_format { RESPONSE_JSON_SCHEMA, RESPONSE_JSON_OBJECT, RESPONSE_NONE };

#define CONFIG_NONE INT64_C(-1)		/* of a number that may be "none" */

struct string_list { char **items; size_t n; };

/* Somebody who is told when sessions end; webhooks.hooks is a list of them. */
struct webhook {
	char *name, *url;
	char *secret_env, *secret_file;	/* one of them, and the other one "" */
	char *ca_file;			/* "": the system's certificates */
	int events;			/* enum webhook_events */
	int allow_private;		/* 1: addresses inside, and a proxy of the environment's */
	int64_t timeout_ms;
	struct string_list secrets;	/* read from there, the newest first; each "whsec_..." */
};
#define WEBHOOKS_MAX 32
struct webhook_list { struct webhook *items; size_t n; };

struct config {
	char *path;			/* the file it came from, absolute */
	struct {
		char *conninfo;		/* may hold a password, shown starred */
		char *listen_conninfo;
		int pool_mode;		/* enum pool_mode */
	} database;
	struct {
		int64_t workers, in_flight, claim_batch, max_jobs;
		int64_t drain_ms, beat_ms;
		char *user;
	} pool;
	struct {
		int64_t poll_ms, stuck_after_ms, job_deadline_ms, keep_completed_ms, keep_failed_ms,
			keep_ratings_ms, keep_sessions_ms;
		int64_t max_pending;
	} queue;
	struct {
		int backend;		/* enum rater_backend, not RATER_NONE */
		int fallback;		/* enum rater_backend: rates while the breaker is open */
		struct string_list scale;
		struct string_list speakers;	/* whose lines are rated, in lower case */
		int64_t alternatives;	/* at most so many a line */
		int64_t context_lines;	/* neighbours on each side that the rater sees */
		char *prompt_file;	/* "": the built-in prompt */
		int session_grading;	/* enum session_grading: sessions as a whole */
		char *session_prompt_file;	/* "": the built-in prompt for that */
		int64_t session_bytes;	/* the most that a conversation may have for it */
		int64_t lines_per_call;
	} rater;
	struct {
		char *file;		/* "": the built-in copy of etc/rubric.conf */
	} rubric;
	struct {
		char *base_url, *model, *api_key_env, *api_key_file;
		char *ca_file;		/* "": the system's certificates */
		char *proxy;		/* "": the environment's; "none"; a URL, with a password */
		int64_t timeout_ms, requests_per_minute, tokens_per_minute;
		int response_format;	/* enum response_format */
		int64_t temperature;	/* in millionths; CONFIG_NONE: left to the model */
		char *extra;		/* more fields of a request: a JSON object */
		char *auth_header;	/* the header that holds the key */
		char *auth_scheme;	/* the word before it; "": the usual one; "none" */
		struct string_list headers;	/* more of them: name, value, name, value... */
		char *api_key;		/* read from api_key_env or _file; NULL: none */

		/* Read with it: "Name: value" of each header, and the values from elsewhere. */
		struct string_list header_lines, header_secrets;

		/* Of a million tokens, in millionths; both 0: unknown. */
		int64_t prompt_price, completion_price;
	} openai;
	struct {
		struct string_list argv;	/* absolute path and arguments; may be empty */
		int64_t timeout_ms;
	} command;
	struct { struct string_list shares; } tenants;	/* config_share.h */
	struct { int64_t ttl_ms; } cache;
	int mirror;			/* enum mirror_choice: ratings go into live_sessions */
	struct {
		struct webhook_list hooks;
		int64_t concurrency, backoff_ms, give_up_after_ms, keep_delivered_ms,
			keep_dead_ms;
	} webhooks;
	struct { char *socket, *group, *pid_file; } control;
	struct { char *to; int level; } log;
};

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

#endif
