/*
 * Dead workers whose jobs the janitor is putting back. It takes each death off the ring at once and
 * keeps it here until the last of its jobs is back, so that a job which the database refuses to put
 * back holds up no later death, and a janitor that dies in between loses none. Written and read by
 * the janitor alone.
 */
#ifndef KEPT_DEATHS_H
#define KEPT_DEATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scoreboard/deaths.h"

#define KEPT_DEATHS_MAX 512

struct kept_death {
	struct death death;		/* identity "": none is kept here */
	int32_t had;			/* jobs, as counted before the first was back; 0: not yet */
};

/* Zeroed: empty. */
struct kept_deaths { struct kept_death at[KEPT_DEATHS_MAX]; };

/* False when there is no room. One that is kept already, or of nobody, is no matter. */
bool kept_deaths_add(struct kept_deaths *kept, const struct death *d);
void kept_deaths_drop(struct kept_death *k);
/* Drops those that cannot be read: before any other of these is called. */
void kept_deaths_tidy(struct kept_deaths *kept);
bool kept_deaths_any(const struct kept_deaths *kept);
bool kept_deaths_has(const struct kept_deaths *kept, const char *identity);

#endif
