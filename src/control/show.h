/*
 * What `show ...` shows: one view a subject, each a table filled from the scoreboard and the
 * configuration. Supervisor; a snapshot of shared memory, no SQL, no waiting.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdbool.h>

struct buf;
struct supervisor;
struct table;

struct view {
	const char *const *columns;
	bool record;
	void (*fill)(const struct supervisor *s, struct table *t);
};

extern const struct view view_status, view_workers, view_queue, view_config, view_errors, view_limits,
	view_version;

void view_render(const struct view *view, const struct supervisor *s, bool json, struct buf *out);

#endif
