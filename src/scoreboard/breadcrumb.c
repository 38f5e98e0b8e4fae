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
	breadcrumb_job(NULL);
}

void breadcrumb_job(const char *job_id)
{
	if (!mine)
		return;
	atomic_store_explicit(&mine->set, 0, memory_order_relaxed);
	if (!job_id)
		return;
	/* The reader comes when we are dead: only our own order counts. */
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&mine->line, BREADCRUMB_NO_LINE, memory_order_relaxed);
	memcpy(mine->job, job_id, UUID_SIZE - 1);
	atomic_store_explicit(&mine->set, 1, memory_order_release);
}

void breadcrumb_line(int32_t line)
{
	if (mine)
		atomic_store_explicit(&mine->line, line, memory_order_relaxed);
}

bool breadcrumb_get(const struct breadcrumb *b, char *out, int32_t *line)
{
	bool set = atomic_load(&b->set) == 1;

	memcpy(out, b->job, UUID_SIZE - 1);
	out[set ? UUID_SIZE - 1 : 0] = '\0';
	*line = set ? atomic_load(&b->line) : BREADCRUMB_NO_LINE;
	return set;
}
