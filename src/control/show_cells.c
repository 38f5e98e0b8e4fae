/* Cells that several views have. Supervisor; what comes from shared memory is hearsay. */
#include "show_cells.h"

#include "base/clock.h"
#include "base/saturate.h"
#include "scoreboard/breaker.h"

void cell_age(struct table *t, int64_t now, int64_t at_ms)
{
	if (at_ms == 0)
		table_null(t);
	else
		table_ms(t, now > at_ms ? sat_sub(now, at_ms) : 0);
}

void cell_known(struct table *t, int64_t value)
{
	if (value < 0)
		table_null(t);
	else
		table_int(t, value);
}

void cell_known_ms(struct table *t, int64_t ms)
{
	if (ms < 0)
		table_null(t);
	else
		table_ms(t, ms);
}

void cell_shared(struct table *t, const struct shared_text *shared)
{
	char text[SCOREBOARD_TEXT];

	if (shared_text_get(shared, text) && text[0])
		table_text(t, text);
	else
		table_null(t);
}

/* ---- the breaker, in status and limits ---- */

void cell_breaker(struct table *t, const struct breaker *b)
{
	if (atomic_load(&b->held))
		table_text(t, "held open");
	else
		table_text(t, breaker_state_name(breaker_state(b, now_ms())));
}

void cell_breaker_until(struct table *t, const struct breaker *b)
{
	int64_t left = sat_sub(atomic_load(&b->until_ms), now_ms());

	if (breaker_is_closed(b, now_ms()) || atomic_load(&b->held))
		table_null(t);
	else
		table_ms(t, left > 0 ? left : 0);
}

void cell_breaker_reason(struct table *t, const struct breaker *b)
{
	if (breaker_is_closed(b, now_ms()))
		table_null(t);
	else
		cell_shared(t, &b->reason);
}

const char *backend_name(int backend)
{
	static const char *const names[] = {
		[RATER_RUBRIC] = "rubric", [RATER_OPENAI] = "openai", [RATER_COMMAND] = "command",
	};

	return NAME_OF(names, backend);
}

void cells_fallback(struct table *t, const struct pool *pool)
{
	int fallback = pool_config(pool)->rater.fallback;

	if (fallback == RATER_NONE)
		table_null(t);
	else
		table_text(t, backend_name(fallback));
	table_bool(t, fallback != RATER_NONE && !breaker_is_closed(&pool->sb->breaker, now_ms()));
}
