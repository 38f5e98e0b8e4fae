/* Rendering a view, and those that show no child: `show config`, `show version`. Supervisor. */
#include "show.h"

#include <unistd.h>

#include "config/config_show.h"
#include "show_cells.h"

static void fill_config(const struct pool *pool, struct table *t)
{
	config_show(pool_config(pool), t);
}

const struct view view_config = {
	COLUMNS("key", "value", "default", "reload"), false, fill_config
};

static void fill_version(const struct pool *pool, struct table *t)
{
	(void)pool;
	table_row(t);
	table_text(t, VERSION);
	table_int(t, (int64_t)sizeof(struct scoreboard));
	table_int(t, getpid());
}

const struct view view_version = {
	COLUMNS("version", "scoreboard_bytes", "pid"), true, fill_version
};

void view_render(const struct view *view, const struct pool *pool, bool json, struct buf *out)
{
	struct table *t = table_new(view->columns, view->record);

	view->fill(pool, t);
	table_render(t, json, out);
	table_free(t);
}
