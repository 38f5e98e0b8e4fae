/*
 * What a child is at, so that others know what it died of: the job that its CPU is in and which of
 * its lines, and the job that waits for its rating where there is no other one. One crumb a slot,
 * written by its child, read by the supervisor after that child's death. Cheaper to write than a
 * shared text, since it is written for each line.
 */
#ifndef BREADCRUMB_H
#define BREADCRUMB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"

#define BREADCRUMB_NO_LINE INT32_MIN

struct breadcrumb {
	_Atomic uint32_t set;		/* 1: `claim` and `job` are whole */
	_Atomic int32_t line;		/* its index in the session, or BREADCRUMB_NO_LINE */
	int64_t claim;			/* the number of the claim by which it has the job */
	char job[UUID_SIZE];
	_Atomic uint32_t only_set;	/* 1: the next two are whole */
	int64_t only_claim;		/* of the only job that is being rated */
	char only_job[UUID_SIZE];
};

/*
 * From now on this process leaves its crumb there; nothing is in hand yet. NULL: it leaves none, as
 * before the first.
 */
void breadcrumb_begin(struct breadcrumb *b);

/*
 * The job that the CPU is in from now on, under this claim, so that a crash names it, and its line
 * with this index; then it is in none. For any room of a child.
 */
void breadcrumb_job(const char *job_id, int64_t claim);
void breadcrumb_line(int32_t line);
void breadcrumb_end(void);
/* The only job that is being rated, wherever the CPU is; NULL: there is none, or several are. */
void breadcrumb_only(const char *job_id, int64_t claim);

/*
 * Copies the job into out (UUID_SIZE bytes), its claim and its line. False, and "" and 0, when none
 * was in hand.
 */
bool breadcrumb_get(const struct breadcrumb *b, char *out, int64_t *claim, int32_t *line);
/* The same of the only job that was being rated, which is at no line. */
bool breadcrumb_get_only(const struct breadcrumb *b, char *out, int64_t *claim);

#endif
