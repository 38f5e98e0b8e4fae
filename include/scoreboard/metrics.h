/*
 * The list of metrics, written once: slots count them, `show metrics` names them, the manual is
 * checked against them. A counter belongs to a slot and outlives the child that counts in it.
 */
#ifndef METRICS_H
#define METRICS_H

/* X(id, name, help): summed over all slots, monotonic. The exported name is gradingd_NAME. */
#define COUNTERS(X) \
	X(JOBS_CLAIMED,    "jobs_claimed_total",    "jobs taken from the queue") \
	X(JOBS_COMPLETED,  "jobs_completed_total",  "jobs settled as completed") \
	X(JOBS_FAILED,     "jobs_failed_total",     "jobs settled as failed") \
	X(JOBS_RETRIED,    "jobs_retried_total",    "jobs put back with an attempt counted") \
	X(JOBS_RELEASED,   "jobs_released_total",   "jobs put back without an attempt counted") \
	X(CLAIMS_LOST,     "claims_lost_total", \
	  "results dropped because the job had moved on") \
	X(JOBS_RECOVERED,  "jobs_recovered_total",  "jobs of dead workers put back") \
	X(JOBS_REAPED,     "jobs_reaped_total",     "stuck jobs put back by the reaper") \
	X(LINES_RATED,     "lines_rated_total",     "line ratings stored") \
	X(LINES_FAILED,    "lines_failed_total",    "lines given up without a rating") \
	X(SESSIONS_GRADED, "sessions_graded_total", "sessions graded as a whole") \
	X(SESSIONS_CACHED, "sessions_graded_alike_total", \
	  "of them, sessions graded as an equal one was before") \
	X(FALLBACK_LINES,  "fallback_lines_total", \
	  "lines that the fallback rated while the breaker was open") \
	X(LINES_SKIPPED,   "lines_skipped_total",   "lines without text") \
	X(CACHE_HITS,      "cache_hits_total",      "lines answered by the phrase cache") \
	X(CACHE_MISSES,    "cache_misses_total",    "lines the phrase cache did not know") \
	X(CACHE_SHARED,    "cache_shared_total", \
	  "of them, lines answered by the call about an equal line") \
	X(RATER_CALLS,     "rater_calls_total",     "calls to the rater, failed ones included") \
	X(RATER_FAILURES,  "rater_failures_total",  "calls to the rater that brought no rating") \
	X(RATER_MS,        "rater_milliseconds_total", \
	  "time spent waiting for the rater, all calls") \
	X(PROMPT_TOKENS,   "prompt_tokens_total",   "prompt tokens the provider reported") \
	X(COMPLETION_TOKENS, "completion_tokens_total", "completion tokens the provider reported") \
	X(RATER_AWAY,      "rater_away_total", \
	  "calls that found the provider down or out of reach") \
	X(RATER_LIMITED,   "rater_limited_total",   "calls answered with a limit of our rate") \
	X(RATER_DENIED,    "rater_denied_total", \
	  "calls refused for credentials, quota or configuration") \
	X(RATER_UNCLEAR,   "rater_unclear_total", \
	  "calls that timed out, broke off or met an error 500") \
	X(RATER_REJECTED,  "rater_rejected_total", \
	  "calls whose question was refused (bad, too large)") \
	X(OUTCOME_RATED,   "outcome_rated_total", \
	  "lines that the rater gave a rating of the scale") \
	X(OUTCOME_MISSING, "outcome_missing_line_total", \
	  "lines asked for that the reply left out") \
	X(OUTCOME_UNKNOWN, "outcome_unknown_rating_total", \
	  "lines rated with a word outside the scale") \
	X(OUTCOME_TRUNCATED, "outcome_truncated_total", \
	  "lines lost to a reply cut off at its length limit") \
	X(OUTCOME_REFUSED, "outcome_refused_total",        "lines the model or a filter refused") \
	X(OUTCOME_NOT_JSON, "outcome_not_json_total", \
	  "lines lost to a reply that is no JSON") \
	X(OUTCOME_NOT_SCHEMA, "outcome_not_schema_total",  "lines lost to JSON of another shape") \
	X(OUTCOME_EMPTY,   "outcome_empty_total",          "lines lost to an empty reply") \
	X(OUTCOME_OVERSIZED, "outcome_oversized_total", \
	  "lines lost to a reply above its size cap") \
	X(OUTCOME_DUPLICATE, "outcome_duplicate_line_total", \
	  "lines that one reply rated more than once") \
	X(OUTCOME_UNKNOWN_LINE, "outcome_unknown_line_total", \
	  "lines lost to a reply that numbered lines in its own way") \
	X(OUTCOME_FAILED,  "outcome_failed_total", \
	  "lines whose call failed, whatever the reason") \
	X(REPLY_STRAY,     "reply_stray_lines_total", \
	  "ratings in replies for lines nobody asked about") \
	X(STATEMENTS,      "statements_total",      "statements sent to Postgres") \
	X(CONNECTS,        "connects_total",        "connections made to Postgres") \
	X(CONNECTIONS_LOST, "connections_lost_total", "connections to Postgres lost or refused") \
	X(WAKES,           "wakes_total",           "times a sleeping worker was woken") \
	X(JOBS_CLEANED,    "jobs_cleaned_total", \
	  "finished jobs deleted after their keeping time") \
	X(CACHE_CLEANED,   "cache_cleaned_total",   "expired cache entries deleted") \
	X(ROWS_REFUSED,    "rows_refused_total", \
	  "times a row that the database refuses to have changed was set aside") \
	X(MIRROR_WRITES,   "mirror_writes_total",   "times live_sessions was written") \
	X(MIRROR_REFUSED,  "mirror_refused_total", \
	  "sessions set aside since live_sessions refuses them") \
	X(WEBHOOKS_DELIVERED, "webhooks_delivered_total", "messages that webhooks took") \
	X(WEBHOOKS_REFUSED, "webhooks_refused_total", \
	  "messages that a webhook did not take, to be sent again") \
	X(WEBHOOKS_DEAD,   "webhooks_dead_total",   "messages to webhooks that were given up")

/* X(id, name, help): written by the janitor alone, -1 while unknown. */
#define GAUGES(X) \
	X(QUEUE_PENDING,    "queue_pending", \
	  "jobs waiting, those for later included (capped count)") \
	X(QUEUE_DUE,        "queue_due",        "jobs that could be claimed now (capped count)") \
	X(QUEUE_PROCESSING, "queue_processing", "jobs claimed and not settled, all hosts") \
	X(QUEUE_FAILED,     "queue_failed",     "jobs failed in the last 24 hours (capped count)") \
	X(QUEUE_OLDEST_MS,  "queue_oldest_due_milliseconds", \
	  "how long the oldest due job has been waiting")

#define X(id, name, help) COUNTER_##id,
enum counter { COUNTERS(X) COUNTER_COUNT };
#undef X
#define X(id, name, help) GAUGE_##id,
enum gauge { GAUGES(X) GAUGE_COUNT };
#undef X

struct metric { const char *name; const char *help; };
extern const struct metric counter_list[COUNTER_COUNT];
extern const struct metric gauge_list[GAUGE_COUNT];

#endif
