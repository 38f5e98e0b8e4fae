/*
 * How an expected failure travels: a function returns -1 and fills a struct err; the caller that
 * decides what to do about it logs it, once. Broken invariants use fatal() from log.h instead.
 */
#ifndef ERR_H
#define ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum err_kind {
	ERR_NONE,
	ERR_RETRY,		/* may work later; the job's attempt is counted */
	ERR_PERMANENT,		/* will not work however often it is tried */
	ERR_UNAVAILABLE,	/* the provider is away */
	ERR_LIMITED,		/* the provider limits our rate */
	ERR_DENIED,		/* the provider wants other credentials, quota, configuration */
	ERR_UNCLEAR,		/* provider or job is at fault: timed out, was cut, met a 500 */
	ERR_LOST,		/* the connection went away, or none came; the outcome is unknown */
	ERR_CONFIG,		/* an operator must change something first */
};

#define ERR_SQLSTATE_SIZE 6

struct err {
	enum err_kind kind;
	int64_t after_ms;	/* pause before another try; 0: as long as the caller likes */
	char sqlstate[ERR_SQLSTATE_SIZE];	/* the database's reason for refusing; "": none */
	char text[512];		/* one sentence for an operator, without newlines and secrets */
};

/* What went wrong; err may be NULL: nothing did. */
static inline enum err_kind err_kind(const struct err *err)
{
	return err ? err->kind : ERR_NONE;
}

/* No job is to blame: it goes back without losing an attempt, and the pool waits. */
static inline bool err_is_outside(enum err_kind kind)
{
	return kind == ERR_UNAVAILABLE || kind == ERR_LIMITED || kind == ERR_DENIED;
}

/* Fills *err (which may be NULL) and returns -1, so that callers can "return err_set(...)". */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with a va_list; err is not NULL. */
void err_vset(struct err *err, enum err_kind kind, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

#endif
