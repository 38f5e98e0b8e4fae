/* Where this process says what troubles it. Children; it never waits. */
#include "scoreboard/trouble.h"

#include <stddef.h>

static struct shared_text *mine;

void trouble_begin(struct shared_text *where)
{
	mine = where;
}

void trouble_say(const char *text)
{
	if (mine)
		shared_text_set(mine, text);
}
