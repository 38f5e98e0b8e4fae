/*
 * The last error of this process worth an operator's eye, for `show errors`: where it goes is said
 * once, and any room of a child may say one. It stays until the next.
 */
#ifndef TROUBLE_H
#define TROUBLE_H

#include "scoreboard/shared_text.h"

/* From now on this process's troubles go there. NULL: nowhere, as before the first. */
void trouble_begin(struct shared_text *where);
/* Cut to fit. */
void trouble_say(const char *text);

#endif
