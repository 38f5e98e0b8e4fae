/* Sorts what claims are refused with, by SQLSTATE (PostgreSQL manual, appendix A). Pure. */
#include "refusal.h"

#include <stddef.h>
#include <string.h>

static bool begins_with_any(const char *sqlstate, const char *const *classes)
{
	for (; *classes; classes++)
		if (strncmp(sqlstate, *classes, strlen(*classes)) == 0)
			return true;
	return false;
}

bool refusal_of_row(const struct err *err)
{
	static const char *const of_all[] = { "40", "53", "58", NULL };

	return err->kind != ERR_LOST && err->sqlstate[0] &&
	       !begins_with_any(err->sqlstate, of_all);
}

bool refusal_lost_to_others(const struct err *err)
{
	return strncmp(err->sqlstate, "40", 2) == 0;
}

bool refusal_by_lock(const struct err *err)
{
	return strcmp(err->sqlstate, "55P03") == 0;
}
