/* What the children of a pool are at, counted over the slots. */
#ifndef CENSUS_H
#define CENSUS_H

#include <stdint.h>

#include "scoreboard/scoreboard.h"

struct census {
	unsigned children;	/* forked, of all roles */
	unsigned connected;	/* of them: at work with a connection */
	unsigned alive;		/* workers */
	unsigned idle, busy, connecting;	/* of the workers */
	uint64_t in_flight;	/* jobs in hand of workers */
	unsigned refused;	/* rows that the database refuses, as far as slots name them */
};

struct census scoreboard_census(const struct scoreboard *sb);

#endif
