/* Deaths in the janitor's care, in shared memory, because it may die as well. */
#include "scoreboard/kept_deaths.h"

#include <string.h>

bool kept_deaths_has(const struct kept_deaths *kept, const char *identity)
{
	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		if (strcmp(kept->at[i].death.identity, identity) == 0)
			return true;
	return false;
}

bool kept_deaths_add(struct kept_deaths *kept, const struct death *d)
{
	if (!d->identity[0] || kept_deaths_has(kept, d->identity))
		return true;
	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		if (!kept->at[i].death.identity[0]) {
			kept->at[i] = (struct kept_death){ .death = *d };
			return true;
		}
	return false;
}

/* Zeroed, so that whatever a writer that dies has written here ends somewhere. */
void kept_deaths_drop(struct kept_death *k)
{
	memset(k, 0, sizeof(*k));
}

void kept_deaths_tidy(struct kept_deaths *kept)
{
	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		if (!death_is_readable(&kept->at[i].death))
			kept_deaths_drop(&kept->at[i]);
}

bool kept_deaths_any(const struct kept_deaths *kept)
{
	for (int i = 0; i < KEPT_DEATHS_MAX; i++)
		if (kept->at[i].death.identity[0])
			return true;
	return false;
}
