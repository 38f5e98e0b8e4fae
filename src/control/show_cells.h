/* Cells that several views have. */
#ifndef SHOW_CELLS_H
#define SHOW_CELLS_H

#include "base/table.h"
#include "control/pool.h"

#define COLUMNS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* A number from shared memory, or of a newer enum, may lie outside of its names. */
#define NAME_OF(names, value) \
	((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[value] : "?")

/* How long ago at_ms was; null when it is 0: never. */
void cell_age(struct table *t, int64_t now, int64_t at_ms);
/* Null below 0. */
void cell_known(struct table *t, int64_t value);
void cell_known_ms(struct table *t, int64_t ms);
/* Null when it is empty or torn. */
void cell_shared(struct table *t, const struct shared_text *shared);

/* "closed", "held open" */
void cell_breaker(struct table *t, const struct breaker *b);
/* Until the breaker is tried again; null when it is closed, or an operator's to close. */
void cell_breaker_until(struct table *t, const struct breaker *b);
/* Why the breaker is open; null when it is not. */
void cell_breaker_reason(struct table *t, const struct breaker *b);
/* Who rates instead, null for nobody, and whether that is so now: two cells. */
void cells_fallback(struct table *t, const struct pool *pool);

const char *backend_name(int backend);	/* "rubric" */

#endif
