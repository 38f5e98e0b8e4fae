/*
 * Rows that the database refuses to let us change, by name: a job that cannot be claimed, put back
 * or deleted, because a trigger, a constraint or a lock that is not ours is in the way. Each is
 * left alone for a while and then tried again; until that succeeds `show errors`, doctor and the
 * metrics tell of it. A table a slot, written by its child alone; it outlives the child, and what
 * nobody has tried again in time is no longer shown. Readers never wait.
 */
#ifndef REFUSED_H
#define REFUSED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define REFUSED_MAX 32		/* rows that a slot names; of more, those that came last */
#define REFUSED_ID_SIZE 40	/* a uuid, or another short name, with its NUL */
#define REFUSED_STATEMENT_SIZE 20
#define REFUSED_TEXT_SIZE 200

struct refused_row {
	char id[REFUSED_ID_SIZE];	/* "": no row */
	char statement[REFUSED_STATEMENT_SIZE];	/* that it is refused to */
	char sqlstate[ERR_SQLSTATE_SIZE];	/* "": it was passed over without an error */
	char text[REFUSED_TEXT_SIZE];	/* what the database says, cut at a character */
	int64_t since_ms;		/* now_ms() when that was said first */
	int64_t next_ms;		/* it is left alone until then */
};

/* Zeroed: empty. */
struct shared_refused {
	_Atomic uint32_t seq;
	struct refused_row at[REFUSED_MAX];
};

/*
 * The writer's. The row is refused to the statement for the reason in err and left alone until
 * next_ms. Returns whether that is new: else it is said already, and renewed. When there is no
 * place left it takes that of the row that was first to be tried again.
 */
bool refused_put(struct shared_refused *table, const char *statement, const char *id,
		 const struct err *err, int64_t now_ms, int64_t next_ms);
/* It is done, or no longer there to be done. One that is not in the table is no matter. */
void refused_drop(struct shared_refused *table, const char *statement, const char *id);

/*
 * A reader's: copies those that are refused now into out (REFUSED_MAX of them), and returns how
 * many there are. What is torn is none.
 */
size_t refused_list(const struct shared_refused *table, int64_t now_ms, struct refused_row *out);

#endif
