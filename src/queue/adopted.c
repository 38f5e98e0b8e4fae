/* The columns that we need, and the types that do. Pure; for gradingd -t and gradingctl migrate. */
#include "queue/adopted.h"

#include <stdio.h>
#include <string.h>

#define TYPES_MAX 4

/* The first is what our migrations make. */
#define TEXT { "text", "character varying" }
#define TIME { "timestamp with time zone", "timestamp without time zone" }
#define PLACE { "timestamp with time zone" }	/* claims come back to it: it must be one moment */
#define NUMBER { "integer", "bigint", "smallint" }

static const struct wanted { const char *table, *column, *types[TYPES_MAX]; } wanted[] = {
	{ "grading_jobs", "id", { "uuid" } },
	{ "grading_jobs", "session_id", { "uuid" } },
	{ "grading_jobs", "job_type", TEXT },
	{ "grading_jobs", "job_data", { "jsonb" } },
	{ "grading_jobs", "status", TEXT },
	{ "grading_jobs", "result", { "jsonb" } },
	{ "grading_jobs", "error", TEXT },
	{ "grading_jobs", "attempts", NUMBER },
	{ "grading_jobs", "max_attempts", NUMBER },
	{ "grading_jobs", "priority", NUMBER },
	{ "grading_jobs", "available_at", PLACE },
	{ "grading_jobs", "turn", NUMBER },
	{ "grading_jobs", "created_at", TIME },
	{ "grading_jobs", "started_at", TIME },
	{ "grading_jobs", "completed_at", TIME },
	{ "grading_jobs", "failed_at", TIME },
	{ "grading_jobs", "updated_at", TIME },
	{ "grading_jobs", "claim", { "bigint" } },
	{ "grading_jobs", "times_claimed", NUMBER },
	{ "grading_jobs", "claimed_by", TEXT },
	{ "grading_jobs", "counted_as", TEXT },
	{ "grading_jobs", "tenant", TEXT },
	{ "grading_jobs", "profile", TEXT },
	{ "phrase_cache", "cache_key", TEXT },
	{ "phrase_cache", "phrase", TEXT },
	{ "phrase_cache", "alternatives", { "text[]", "character varying[]" } },
	{ "phrase_cache", "rating", TEXT },
	{ "phrase_cache", "context", TEXT },
	{ "phrase_cache", "created_at", TIME },
	{ "phrase_cache", "reason", TEXT },
	{ "phrase_cache", "provenance", { "jsonb" } },
};

static bool is_one_of(const char *const *types, const char *type)
{
	for (int i = 0; i < TYPES_MAX && types[i]; i++)
		if (strcmp(types[i], type) == 0)
			return true;
	return false;
}

bool adopted_fits(const char *table, const char *column, const char *type, char *text, size_t size)
{
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		const struct wanted *w = &wanted[i];

		if (strcmp(w->table, table) != 0 || strcmp(w->column, column) != 0 ||
		    is_one_of(w->types, type))
			continue;
		snprintf(text, size, "%s.%s is of type %.60s; it must be %s: ALTER TABLE %s ALTER "
			 "%s TYPE %s USING %s::%s", table, column, type, w->types[0], table,
			 column, w->types[0], column, w->types[0]);
		return false;
	}
	return true;
}
