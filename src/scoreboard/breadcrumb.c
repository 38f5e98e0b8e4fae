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

void breadcrumb_line(int32_t line)
{
	if (mine)
		atomic_store_explicit(&mine->line, line, memory_order_relaxed);
}

bool breadcrumb_get(const struct breadcrumb *b, char *out, int64_t *claim, int32_t *line)
{
	bool set = atomic_load(&b->set) == 1;

	memcpy(out, b->job, UUID_SIZE - 1);
	out[set ? UUID_SIZE - 1 : 0] = '\0';
	*claim = set ? b->claim : 0;
	*line = set ? atomic_load(&b->line) : BREADCRUMB_NO_LINE;
	return set;
}
