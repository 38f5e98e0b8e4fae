/*
 * Where this process leaves its crumb, and how another reads it. Children and the supervisor; it
 * never waits.
 */
#include "scoreboard/breadcrumb.h"

#include <stddef.h>
#include <string.h>

static struct breadcrumb *mine;

void breadcrumb_begin(struct breadcrumb *b)
{
	mine = b;
	breadcrumb_end();
	breadcrumb_only(NULL, 0);
}

void breadcrumb_end(void)
{
	if (mine)
		atomic_store_explicit(&mine->set, 0, memory_order_relaxed);
}

void breadcrumb_job(const char *job_id, int64_t claim)
{
	if (!mine)
		return;
	breadcrumb_end();
	/* The reader comes when we are dead: only our own order counts. */
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&mine->line, BREADCRUMB_NO_LINE, memory_order_relaxed);
	mine->claim = claim;
	memcpy(mine->job, job_id, UUID_SIZE - 1);
	atomic_store_explicit(&mine->set, 1, memory_order_release);
}

static bool is_known(const char *job_id, int64_t claim)
{
	return atomic_load_explicit(&mine->only_set, memory_order_relaxed) == 1 &&
	       mine->only_claim == claim && memcmp(mine->only_job, job_id, UUID_SIZE - 1) == 0;
}

/* Said once a turn, and the same most times. */
void breadcrumb_only(const char *job_id, int64_t claim)
{
	if (!mine || (job_id && is_known(job_id, claim)))
		return;
	atomic_store_explicit(&mine->only_set, 0, memory_order_relaxed);
	if (!job_id)
		return;
	atomic_signal_fence(memory_order_seq_cst);	/* as above */
	mine->only_claim = claim;
	memcpy(mine->only_job, job_id, UUID_SIZE - 1);
	atomic_store_explicit(&mine->only_set, 1, memory_order_release);
}

void breadcrumb_line(int32_t line)
{
	if (mine)
		atomic_store_explicit(&mine->line, line, memory_order_relaxed);
}

static bool copy(bool set, const char *job, int64_t its_claim, char *out, int64_t *claim)
{
	memcpy(out, job, UUID_SIZE - 1);
	out[set ? UUID_SIZE - 1 : 0] = '\0';
	*claim = set ? its_claim : 0;
	return set;
}

bool breadcrumb_get(const struct breadcrumb *b, char *out, int64_t *claim, int32_t *line)
{
	bool set = atomic_load(&b->set) == 1;

	*line = set ? atomic_load(&b->line) : BREADCRUMB_NO_LINE;
	return copy(set, b->job, b->claim, out, claim);
}

bool breadcrumb_get_only(const struct breadcrumb *b, char *out, int64_t *claim)
{
	return copy(atomic_load(&b->only_set) == 1, b->only_job, b->only_claim, out, claim);
}
