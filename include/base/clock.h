/* Time in milliseconds, and durations as people write them ("30s", "10m", "24h"). */
#ifndef CLOCK_H
#define CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t now_ms(void);		/* CLOCK_MONOTONIC: for intervals and deadlines; the same in all processes of a host */
int64_t wall_ms(void);		/* since 1970: for people and files only, it may jump */

/* "0", or a number with ms, s, m, h or d. Returns 0, or -1 when text is none of these. */
int duration_parse(const char *text, int64_t *ms);
/* Shortest exact form ("90s", "10m"); returns out. */
char *duration_format(int64_t ms, char *out, size_t size);
/* About two significant units for people ("3h 12m", "450 ms"); returns out. */
char *duration_human(int64_t ms, char *out, size_t size);

#endif
