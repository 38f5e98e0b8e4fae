/* Fills struct err; any process. Never logs. */
#include "base/err.h"

#include <stdio.h>

void err_vset(struct err *err, enum err_kind kind, const char *fmt, va_list ap)
{
	err->kind = kind;
	err->after_ms = 0;
	err->sqlstate[0] = '\0';
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	for (char *p = err->text; *p; p++)	/* library messages come with newlines */
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	err_vset(err, kind, fmt, ap);
	va_end(ap);
	return -1;
}
