/*
 * The kernel shows a process's environment as it was laid out at the start, whatever setenv(3) does
 * later. So a secret is copied to where nobody else looks, and what the kernel shows is
 * overwritten. Owns nothing but the bounds of that block; supervisor and children.
 */
#include "process/environment.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uintptr_t block_begin, block_end;

void environment_init(char **envp)
{
	if (!envp[0])
		return;
	block_begin = (uintptr_t)envp[0];
	for (; *envp; envp++)
		block_end = (uintptr_t)*envp + strlen(*envp) + 1;
}

/* What setenv(3) has made is shared with its own records and must stay as it is. */
static bool is_in_block(const char *value)
{
	return (uintptr_t)value >= block_begin && (uintptr_t)value < block_end;
}

void environment_hide(const char *name)
{
	char *value = name[0] ? getenv(name) : NULL;

	if (!value || !is_in_block(value) || setenv(name, value, 1) == -1)
		return;
	memset(value, '*', strlen(value));
}

/*
 * The process ends without it: nobody sets a variable of that name again, so the records do not
 * matter.
 */
void environment_forget(const char *name)
{
	char *value = name[0] ? getenv(name) : NULL;

	if (!value)
		return;
	explicit_bzero(value, strlen(value));
	unsetenv(name);
}
