/* Fills struct err; any process. Never logs. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->kind = kind;
	err->after_ms = 0;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	for (char *p = err->text; *p; p++)	/* library messages come with newlines */
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	return -1;
}
