/* A fresh scoreboard for each test: set-up and tear-down for cmocka. */
#ifndef SCOREBOARD_FIXTURE_H
#define SCOREBOARD_FIXTURE_H

#include <sys/mman.h>

#include "scoreboard/scoreboard.h"

static struct scoreboard *sb;

static int make_scoreboard(void **state)
{
	(void)state;
	sb = scoreboard_new();
	return sb ? 0 : -1;
}

static int unmap_scoreboard(void **state)
{
	(void)state;
	return munmap(sb, sizeof(*sb));
}

#endif
