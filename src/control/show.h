/*
 * What `show ...` shows: one view a subject, each a table filled from the scoreboard and what the
 * pool tells. Supervisor; a snapshot of shared memory, no SQL, no waiting. A torn text or an odd
 * number there is shown, never believed.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/table.h"
#include "control/pool.h"

struct view {
	const char *const *columns;	/* NULL-terminated */
	bool record;			/* one row, shown a column a line */
	void (*fill)(const struct pool *pool, struct table *t);
};

extern const struct view view_status, view_queue;			/* show_status.c */
extern const struct view view_workers, view_errors;			/* show_workers.c */
extern const struct view view_limits;					/* show_limits.c */
extern const struct view view_config, view_version;			/* show.c */

void view_render(const struct view *view, const struct pool *pool, bool json, struct buf *out);

#endif
