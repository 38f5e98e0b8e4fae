/*
 * HTTP calls to one endpoint, any number at once, on the process's own loop. Says how each call
 * ended; what that means is the caller's business.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct http;		/* an endpoint with its connections */
struct http_call;	/* one of them in flight */

struct http_endpoint {
	const char *url;		/* http or https */
	const char *const *headers;	/* "Name: value", NULL-terminated; copied, and wiped by http_free() */
	const char *ca_file;		/* certificates trusted instead of the system's; NULL: the system's */
	const char *proxy;		/* a URL; "": none whatever the environment says; NULL: as it says */
	int64_t connect_timeout_ms;
	int64_t connections;		/* idle ones kept open, at most */
	size_t reply_cap_bytes;		/* of a reply's body, decompressed */
};

enum http_end {
	HTTP_ANSWERED,		/* the reply is complete */
	HTTP_OVERSIZED,		/* its body or its headers passed their cap; the rest was not read */
	HTTP_UNREACHABLE,	/* the request never left: name, route, proxy, TLS, or no time to connect */
	HTTP_UNTRUSTED,		/* nor did it: the certificate is not for this host, or nobody we trust signed it */
	HTTP_TIMED_OUT,		/* it left, and the time was up before the reply was complete */
	HTTP_BROKEN,		/* it left, and then the connection or the protocol broke */
};

/* Valid during the callback only. */
struct http_reply {
	enum http_end end;
	int status;			/* 0 when there was none; known also for some that broke */
	const char *body;		/* NUL-terminated, never NULL; whole when HTTP_ANSWERED, else "" */
	size_t len;
	int64_t retry_after_ms;		/* as retry-after-ms or Retry-After (seconds, date) say; 0: they do not */
	int64_t latency_ms;
	const char *detail;		/* what went wrong, unless HTTP_ANSWERED; no secrets */
};

typedef void http_done_fn(void *arg, const struct http_reply *reply);

/* NULL and err (ERR_CONFIG) when the URL is unusable. To be called after fork: it starts libcurl. */
struct http *http_new(struct loop *loop, const struct http_endpoint *endpoint, struct err *err);
void http_free(struct http *http);	/* cancels what is in flight; not from a callback */

/*
 * Copies body and returns at once; done(arg, reply) follows once from the loop, unless the call is
 * cancelled first. done may post and cancel other calls. timeout_ms is for all of it, connecting
 * included.
 */
struct http_call *http_post(struct http *http, const char *body, size_t len, int64_t timeout_ms,
			    http_done_fn *done, void *arg);
/* The same for a GET. */
struct http_call *http_get(struct http *http, int64_t timeout_ms, http_done_fn *done, void *arg);
void http_cancel(struct http_call *call);	/* only before its done() */

#endif
