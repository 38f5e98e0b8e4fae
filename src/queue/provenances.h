/*
 * The provenances that a worker's lines have: the id of each, and whether the database is known to
 * have it, so that only a new one is sent. Lines name a provenance by its id.
 */
#ifndef PROVENANCES_H
#define PROVENANCES_H

#include <stdbool.h>

#include "base/uuid.h"

struct provenances;

struct provenances *provenances_new(void);
void provenances_free(struct provenances *all);

/* From now on those are asked for that go into the next statement. */
void provenances_begin(struct provenances *all);
/*
 * The id of a document, computed from its text, so that all workers have the same. *new: it is to
 * go along with the statement, which is said once a statement. The text is copied.
 */
const unsigned char *provenances_id(struct provenances *all, const char *document, bool *new);
/* Whether any was new since provenances_begin(). */
bool provenances_any_new(const struct provenances *all);

/*
 * The statement has been sent. What becomes of it is to be told by provenances_settled(); until
 * then another statement may be sent as well, but not with this.
 */
void provenances_sent(struct provenances *all);
void provenances_settled(struct provenances *all, bool stored);

/* Another connection, another server perhaps: nothing is known to be stored. */
void provenances_forget(struct provenances *all);

#endif
