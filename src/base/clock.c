/* Time in milliseconds and durations as people write them; any process. */
#include "base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct { const char *suffix; int64_t ms; } units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
#define UNITS (sizeof(units) / sizeof(units[0]))

static int64_t clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int duration_parse(const char *text, int64_t *ms)
{
	int64_t number = 0;
	const char *p = text;

	if (!isdigit((unsigned char)*p))
		return -1;
	for (; isdigit((unsigned char)*p); p++) {
		if (number > 1000000000)	/* 1e9 days still fit in 63 bits of milliseconds */
			return -1;
		number = number * 10 + (*p - '0');
	}
	while (*p == ' ')
		p++;
	if (!*p && number == 0) {
		*ms = 0;
		return 0;
	}
	for (size_t i = 0; i < UNITS; i++)
		if (strcmp(p, units[i].suffix) == 0) {
			*ms = number * units[i].ms;
			return 0;
		}
	return -1;
}

char *duration_format(int64_t ms, char *out, size_t size)
{
	for (size_t i = 0; ms != 0 && i < UNITS; i++)
		if (ms % units[i].ms == 0) {
			snprintf(out, size, "%" PRId64 "%s", ms / units[i].ms, units[i].suffix);
			return out;
		}
	snprintf(out, size, "0");
	return out;
}

char *duration_human(int64_t ms, char *out, size_t size)
{
	for (size_t i = 0; i + 2 < UNITS; i++) {
		int64_t rest = ms % units[i].ms / units[i + 1].ms;

		if (ms < units[i].ms)
			continue;
		if (rest)
			snprintf(out, size, "%" PRId64 "%s %" PRId64 "%s", ms / units[i].ms,
				 units[i].suffix, rest, units[i + 1].suffix);
		else
			snprintf(out, size, "%" PRId64 "%s", ms / units[i].ms, units[i].suffix);
		return out;
	}
	if (ms >= 10000)
		snprintf(out, size, "%" PRId64 "s", ms / 1000);
	else if (ms >= 1000)
		snprintf(out, size, "%.1fs", (double)ms / 1000);
	else
		snprintf(out, size, "%" PRId64 "ms", ms);
	return out;
}
