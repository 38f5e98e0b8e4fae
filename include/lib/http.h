/*
 * HTTP calls to one endpoint, any number at once, on the process's own loop. Says how each call
 * ended; what that means is the caller's business.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct http;		/* an endpoint with its connections */
struct http_call;	/* one of them in flight */

struct http_endpoint {
	const char *url;		/* http or https */
	const char *const *headers;	/* lines "Name: value", NULL-terminated */
	const char *ca_file;		/* certificates trusted; NULL: the system's */
	const char *proxy;		/* URL; "": none; NULL: as the environment says */
	int64_t connect_timeout_ms;
	int64_t connections;		/* number of idle connections kept open, at most */
	size_t reply_cap_bytes;		/* limit of a reply's body, decompressed */
	bool outside_only;		/* no address that is inside (base/address.h) is spoken to */
};

enum http_end {
	HTTP_ANSWERED,		/* the reply is complete */
	HTTP_OVERSIZED,		/* body or headers passed their cap; the rest was not read */
	HTTP_UNREACHABLE,	/* request not sent: name, route, proxy, TLS, time to connect */
	HTTP_UNTRUSTED,		/* request not sent: the certificate is not to be trusted */
	HTTP_TIMED_OUT,		/* request sent; the time was up before the reply was whole */
	HTTP_BROKEN,		/* request sent; then connection or protocol broke */
};

/* Valid during the callback only. */
struct http_reply {
	enum http_end end;
	int status;			/* HTTP status, of some broken replies too; 0: none came */
	const char *body;		/* whole body when HTTP_ANSWERED, else ""; NUL-terminated */
	size_t len;			/* length of body in bytes */
	int64_t retry_after_ms;		/* pause that retry-after-ms or Retry-After asks for */
	int64_t latency_ms;		/* time from the call until now */
	const char *detail;		/* what went wrong, unless HTTP_ANSWERED; without secrets */
};

typedef void http_done_fn(void *arg, const struct http_reply *reply);

/*
 * An endpoint on this loop, which must outlive it; what endpoint points to is copied. NULL and err
 * (ERR_CONFIG) when the URL is unusable. To be called after fork: it starts libcurl.
 */
struct http *http_new(struct loop *loop, const struct http_endpoint *endpoint, struct err *err);

/* Cancels what is in flight, and wipes what may be secret. Not from a callback. NULL is fine. */
void http_free(struct http *http);

/*
 * Copies body and returns at once; done(arg, reply) follows once from the loop, unless the call is
 * cancelled first. done may post and cancel other calls. timeout_ms is for all of it, connecting
 * included.
 */
struct http_call *http_post(struct http *http, const char *body, size_t len, int64_t timeout_ms,
			    http_done_fn *done, void *arg);
/* The same with more headers, lines as those of the endpoint, NULL-terminated; copied. */
struct http_call *http_post_with(struct http *http, const char *const *headers, const char *body,
				 size_t len, int64_t timeout_ms, http_done_fn *done, void *arg);
/* The same for a GET. */
struct http_call *http_get(struct http *http, int64_t timeout_ms, http_done_fn *done, void *arg);
void http_cancel(struct http_call *call);	/* only before its done() */

#endif
