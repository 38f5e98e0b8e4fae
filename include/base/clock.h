/* Time in milliseconds, and durations as people write them ("30s", "10m", "24h"). */
#ifndef CLOCK_H
#define CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* For intervals and deadlines: CLOCK_MONOTONIC, the same in all processes of a host. */
int64_t now_ms(void);

/* Since 1970, for people and files only: it may jump. */
int64_t wall_ms(void);

/* "0", or a number with ms, s, m, h or d. Returns 0, or -1 when text is none of these. */
int duration_parse(const char *text, int64_t *ms);

/* Writes the shortest exact form ("90s", "10m") to out, size bytes with the NUL; returns out. */
char *duration_format(int64_t ms, char *out, size_t size);

/*
 * The same for people, about two significant units ("3h 12m", "1.5s", "450ms"). 32 bytes will do.
 */
char *duration_human(int64_t ms, char *out, size_t size);

#endif
