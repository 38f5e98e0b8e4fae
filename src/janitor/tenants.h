/* Tenants with a share of their own: asks the database for their numbers, and tells the workers. */
#ifndef JANITOR_TENANTS_H
#define JANITOR_TENANTS_H

#include "statement.h"

struct tenants {
	struct maintenance *m;
	bool asking;
	struct loop_timer timer;
};

void tenants_init(struct tenants *t, struct maintenance *m);
/* Asks now, and again with the next poll while any number is missing. May be repeated. */
void tenants_ask(struct tenants *t);

#endif
