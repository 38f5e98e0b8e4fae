/*
 * A CURLM on the process's own loop: libcurl says which descriptors and which timeout it wants, and
 * loop.c waits for them together with everything else. Workers, and gradingctl doctor. Knows
 * nothing of grading; sends again only what nobody looked at, never follows a redirect, never
 * blocks. Needs libcurl 7.87.
 */
#include "lib/http.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define HEADERS_CAP_BYTES (64u << 10)
#define HEADERS_CAP_LINES 256		/* status lines of interim replies included */
#define UNACKED_MS 20000u		/* a peer that acknowledges nothing for so long is gone */
#define RECEIVE_BYTES 1024L		/* libcurl's least: a thousand calls wait at once */
#define RACE_MS 1000			/* so long a connection's end may have been on its way */
#define SENDS_CAP 6			/* of one request, all but the last not looked at */
#define ROUNDS_CAP 4			/* of so many sends each, where the server says so */
#define LIBCURL_GIVES_UP "Connection died, tried "
#define OTHER_DESCRIPTORS 512		/* that a worker may have besides */

struct http_call {
	LIST_ENTRY(http_call) link;	/* in http->in_flight or http->idle */
	struct http *http;
	CURL *easy;
	struct buf body;
	size_t header_bytes, header_lines;
	bool oversized;			/* body or headers passed their cap */
	int sends;			/* times the request has gone out, or is about to */
	int rounds;			/* times that libcurl was given it again */
	int64_t sent_ms;		/* when it last did */
	int64_t started_ms, timeout_ms;
	http_done_fn *done;
	void *arg;
	struct curl_slist *headers;	/* the endpoint's and its own; NULL: it has none of its own */
	char refused[ADDRESS_TEXT_SIZE];	/* the last address that was inside; "": none was */
	char error[CURL_ERROR_SIZE];
};

struct http {
	struct loop *loop;
	struct loop_timer timer;	/* libcurl's one timeout */
	CURLM *multi;
	CURLSH *share;			/* TLS sessions, which calls would keep to themselves */
	char *url;
	bool tls;
	bool one_at_a_time;		/* HTTP/1, as of its last reply: a call a connection */
	bool outside_only;
	struct curl_slist *headers;
	char *ca_file, *proxy;
	int64_t connect_timeout_ms;
	size_t reply_cap_bytes;
	LIST_HEAD(, http_call) in_flight, idle;
};

/* Options fail only when memory is short, or in a libcurl that cannot keep our promises. */
#define SET(call, option, value)							\
	do {										\
		CURLcode set_code = curl_easy_setopt((call)->easy, option, value);	\
		if (set_code != CURLE_OK)						\
			fatal("libcurl refuses " #option ": %s", curl_easy_strerror(set_code)); \
	} while (0)

static void call_release(struct http_call *call)
{
	LIST_REMOVE(call, link);
	LIST_INSERT_HEAD(&call->http->idle, call, link);
	buf_free(&call->body);
	SET(call, CURLOPT_COPYPOSTFIELDS, NULL);
	if (call->headers) {
		SET(call, CURLOPT_HTTPHEADER, call->http->headers);
		curl_slist_free_all(call->headers);
		call->headers = NULL;
	}
}

/* Codes that say by themselves what happened. */
static const struct { CURLcode code; enum http_end end; } ends[] = {
	{ CURLE_OK,			HTTP_ANSWERED },
	{ CURLE_COULDNT_RESOLVE_PROXY,	HTTP_UNREACHABLE },
	{ CURLE_COULDNT_RESOLVE_HOST,	HTTP_UNREACHABLE },
	{ CURLE_COULDNT_CONNECT,	HTTP_UNREACHABLE },
	{ CURLE_PROXY,			HTTP_UNREACHABLE },
	{ CURLE_SSL_CONNECT_ERROR,	HTTP_UNREACHABLE },
	{ CURLE_PEER_FAILED_VERIFICATION, HTTP_UNTRUSTED },
	{ CURLE_SSL_CACERT_BADFILE,	HTTP_UNTRUSTED },
	{ CURLE_PARTIAL_FILE,		HTTP_BROKEN },
	{ CURLE_GOT_NOTHING,		HTTP_BROKEN },
	{ CURLE_BAD_CONTENT_ENCODING,	HTTP_BROKEN },
	{ CURLE_HTTP2_STREAM,		HTTP_BROKEN },
};

static enum http_end call_end(const struct http_call *call, CURLcode code)
{
	curl_off_t sent_us = 0;

	if (call->oversized)
		return HTTP_OVERSIZED;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends[i].code == code)
			return ends[i].end;
	/* Stays 0 until the request goes out, whatever came between: name, connect, proxy, TLS. */
	curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
	if (sent_us == 0)
		return HTTP_UNREACHABLE;
	return code == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT : HTTP_BROKEN;
}

/* "" when the reply has no such header; valid until the next of these calls. */
static const char *call_header(const struct http_call *call, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return "";
	return header->value;
}

/* Whole milliseconds, rounded up; 0 for what is no positive number. */
static int64_t bounded_ms(double ms)
{
	if (!(ms > 0))
		return 0;
	return ms < INT32_MAX ? (int64_t)ms + (ms > (double)(int64_t)ms) : INT32_MAX;
}

static int64_t read_ms(const char *text, double unit_ms)
{
	char *end;
	double number = strtod(text, &end);

	return end == text || *end ? 0 : bounded_ms(number * unit_ms);
}

/* A date is one by the server's clock: where the reply tells that one, ours may be wrong. */
static int64_t until_ms(const struct http_call *call, const char *date)
{
	time_t at = curl_getdate(date, NULL), now;

	if (at == -1)
		return 0;
	now = curl_getdate(call_header(call, "Date"), NULL);
	return bounded_ms(difftime(at, now == -1 ? time(NULL) : now) * 1000);
}

static int64_t call_retry_after_ms(const struct http_call *call)
{
	int64_t ms = read_ms(call_header(call, "retry-after-ms"), 1);

	if (ms == 0)
		ms = read_ms(call_header(call, "Retry-After"), 1000);
	return ms ? ms : until_ms(call, call_header(call, "Retry-After"));
}

static void note_version(const struct http_call *call)
{
	long version = 0;

	curl_easy_getinfo(call->easy, CURLINFO_HTTP_VERSION, &version);
	if (version)
		call->http->one_at_a_time = version < CURL_HTTP_VERSION_2_0;
}

static void call_finish(struct http_call *call, CURLcode code)
{
	struct http_reply reply = { .end = call_end(call, code), .body = "", .detail = "" };
	long status = 0;

	note_version(call);
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	reply.status = (int)status;
	reply.retry_after_ms = call_retry_after_ms(call);
	reply.latency_ms = now_ms() - call->started_ms;
	if (reply.end == HTTP_ANSWERED) {
		reply.body = buf_text(&call->body);
		reply.len = call->body.len;
	} else {
		if (reply.end == HTTP_UNREACHABLE && call->refused[0])
			snprintf(call->error, sizeof(call->error), "the name leads to %s, which is "
				 "an address inside", call->refused);
		reply.detail = call->error[0] ? call->error : curl_easy_strerror(code);
	}
	curl_multi_remove_handle(call->http->multi, call->easy);
	call->done(call->arg, &reply);
	call_release(call);
}

/* 0 would be for ever. */
static void call_limit(struct http_call *call, int64_t ms)
{
	SET(call, CURLOPT_TIMEOUT_MS, ms > 0 ? (long)ms : 1L);
}

static void call_hand_over(struct http_call *call)
{
	CURLMcode code;

	call->header_bytes = call->header_lines = 0;
	call->oversized = false;
	call->sends = 0;
	call->error[0] = '\0';
	call->refused[0] = '\0';
	code = curl_multi_add_handle(call->http->multi, call->easy);
	if (code != CURLM_OK)
		fatal("libcurl: %s", curl_multi_strerror(code));
}

/*
 * Where many calls share a connection that ends after few of them, one call may be among those that
 * are not looked at more often than libcurl goes on trying. It still was never made.
 */
static bool call_begin_anew(struct http_call *call, CURLcode code)
{
	int64_t left = call->started_ms + call->timeout_ms - now_ms();

	if (code == CURLE_OK || call->http->one_at_a_time || call->oversized ||
	    strncmp(call->error, LIBCURL_GIVES_UP, strlen(LIBCURL_GIVES_UP)) != 0 ||
	    left <= 0 || ++call->rounds >= ROUNDS_CAP)
		return false;
	curl_multi_remove_handle(call->http->multi, call->easy);
	buf_reset(&call->body);
	call_limit(call, left);
	call_hand_over(call);
	return true;
}

/* Lets libcurl work, then hands over what has ended; nothing of ours runs inside of libcurl. */
static void drive(struct http *http, curl_socket_t fd, int events)
{
	int running, left;
	CURLMsg *message;
	CURLMcode code = curl_multi_socket_action(http->multi, fd, events, &running);

	if (code == CURLM_OUT_OF_MEMORY || code == CURLM_INTERNAL_ERROR)
		fatal("libcurl: %s", curl_multi_strerror(code));
	while ((message = curl_multi_info_read(http->multi, &left))) {
		CURLcode result = message->data.result;
		struct http_call *call;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		if (!call_begin_anew(call, result))
			call_finish(call, result);
	}
}

static void on_timer(void *arg)
{
	drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* Reading tells an error or a hang-up more exactly than CURL_CSELECT_ERR would. */
static void on_socket(void *arg, int fd, short revents)
{
	drive(arg, fd, (revents & (POLLIN | POLLERR | POLLHUP) ? CURL_CSELECT_IN : 0) |
		       (revents & POLLOUT ? CURL_CSELECT_OUT : 0));
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *http = arg;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_stop(http->loop, &http->timer);
	else if (loop_timer_set(http->loop, &http->timer, timeout_ms, on_timer, http) == -1)
		fatal("out of memory for a timer");
	return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct http *http = arg;
	short events = 0;

	(void)easy, (void)unused;
	if (what == CURL_POLL_REMOVE) {
		loop_unwatch(http->loop, fd);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= POLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= POLLOUT;
	if (loop_watch(http->loop, fd, events, on_socket, http) == -1)
		fatal("out of memory for a descriptor");
	return 0;
}

/* Returning less than it was given makes libcurl give the call up. */
static size_t take_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;

	buf_add(&call->body, bytes, size * n);
	call->oversized = !buf_ok(&call->body);
	return call->oversized ? 0 : size * n;
}

static size_t take_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;

	(void)bytes;
	call->header_bytes += size * n;
	call->header_lines++;
	call->oversized = call->header_bytes > HEADERS_CAP_BYTES ||
		call->header_lines > HEADERS_CAP_LINES;
	return call->oversized ? 0 : size * n;
}

/*
 * A connection into nowhere ends by itself. HTTP/2 puts all calls on one, and a call that timed out
 * leaves it open, so that without this every later call would follow.
 */
static int set_up_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = UNACKED_MS;

	(void)arg, (void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

/* Whatever name it was, this is where the request would go. A connection in use went this way. */
static curl_socket_t open_outside(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_call *call = arg;

	(void)purpose;
	if (!address_is_inside(&address->addr, address->addrlen))
		return socket(address->family, address->socktype | SOCK_CLOEXEC,
			      address->protocol);
	address_text(&address->addr, address->addrlen, call->refused);
	return CURL_SOCKET_BAD;
}

/* Verified by the system's certificates or by the given ones, never by both. */
static void call_set_up_tls(struct http_call *call)
{
	const char *ca_file = call->http->ca_file;

	SET(call, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(call, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(call, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (!ca_file)
		return;
	SET(call, CURLOPT_CAINFO, ca_file);
	SET(call, CURLOPT_CAPATH, NULL);
	SET(call, CURLOPT_PROXY_CAINFO, ca_file);
	SET(call, CURLOPT_PROXY_CAPATH, NULL);
}

/*
 * libcurl sends again what a connection in use took without a byte of reply. Of HTTP/2 the server
 * has said which streams it did not look at (GOAWAY, REFUSED_STREAM), as nginx does each 1,000
 * requests: such a call was never made. Of HTTP/1 it says nothing; a server that closes an idle
 * connection just when a request is on its way does so within a round trip, and what comes later
 * may have been looked at.
 */
static bool may_send_again(const struct http_call *call, int64_t now)
{
	return call->sends < SENDS_CAP &&
	       (!call->http->one_at_a_time || now - call->sent_ms < RACE_MS);
}

static int before_request(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct http_call *call = arg;
	int64_t now = now_ms();

	(void)to;
	(void)from;
	(void)to_port;
	(void)from_port;
	if (call->sends > 0 && !may_send_again(call, now))
		return CURL_PREREQFUNC_ABORT;
	call->sends++;
	call->sent_ms = now;
	return CURL_PREREQFUNC_OK;
}

/* What holds for every call of this handle. */
static void call_set_up(struct http_call *call)
{
	struct http *http = call->http;

	SET(call, CURLOPT_PRIVATE, call);
	SET(call, CURLOPT_SHARE, http->share);
	SET(call, CURLOPT_ERRORBUFFER, call->error);
	SET(call, CURLOPT_URL, http->url);
	SET(call, CURLOPT_HTTPHEADER, http->headers);
	SET(call, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);	/* no key for a proxy */
	SET(call, CURLOPT_USERAGENT, "gradingd/" VERSION);
	SET(call, CURLOPT_POST, 1L);
	SET(call, CURLOPT_WRITEFUNCTION, take_body);
	SET(call, CURLOPT_WRITEDATA, call);
	SET(call, CURLOPT_HEADERFUNCTION, take_header);
	SET(call, CURLOPT_HEADERDATA, call);
	SET(call, CURLOPT_PREREQFUNCTION, before_request);
	SET(call, CURLOPT_PREREQDATA, call);
	SET(call, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(call, CURLOPT_ACCEPT_ENCODING, "");
	SET(call, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(call, CURLOPT_FOLLOWLOCATION, 0L);
	call_set_up_tls(call);
	if (http->proxy)
		SET(call, CURLOPT_PROXY, http->proxy);
	SET(call, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(call, CURLOPT_SOCKOPTFUNCTION, set_up_socket);
	if (http->outside_only) {
		SET(call, CURLOPT_OPENSOCKETFUNCTION, open_outside);
		SET(call, CURLOPT_OPENSOCKETDATA, call);
	}
	SET(call, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
	SET(call, CURLOPT_NOSIGNAL, 1L);
	/* Else giving up on a slow name server would wait for its thread, and we with it. */
	SET(call, CURLOPT_QUICK_EXIT, 1L);
	/* A libcurl without HTTP/2 refuses this, and stays with 1.1. */
	curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	/* Over TLS the first handshake tells whether one connection will do for all. */
	SET(call, CURLOPT_PIPEWAIT, http->tls ? 1L : 0L);
}

static struct http_call *call_take(struct http *http)
{
	struct http_call *call = LIST_FIRST(&http->idle);

	if (call) {
		LIST_REMOVE(call, link);
		buf_reset(&call->body);
	} else {
		call = xcalloc(1, sizeof(*call));
		call->http = http;
		buf_init(&call->body, http->reply_cap_bytes);
		call->easy = curl_easy_init();
		if (!call->easy)
			fatal("out of memory for an HTTP call");
		call_set_up(call);
	}
	LIST_INSERT_HEAD(&http->in_flight, call, link);
	return call;
}

static struct http_call *call_start(struct http_call *call, int64_t timeout_ms, http_done_fn *done,
				    void *arg)
{
	call->rounds = 0;
	call->started_ms = now_ms();
	call->timeout_ms = timeout_ms;
	call->done = done;
	call->arg = arg;
	call_limit(call, timeout_ms);
	call_hand_over(call);
	return call;
}

static struct curl_slist *add_to(struct curl_slist *list, const char *header)
{
	list = curl_slist_append(list, header);
	if (!list)
		fatal("out of memory for a header");
	return list;
}

static void call_add_headers(struct http_call *call, const char *const *more)
{
	struct curl_slist *list = NULL;

	if (!*more)
		return;
	for (const struct curl_slist *own = call->http->headers; own; own = own->next)
		list = add_to(list, own->data);
	for (; *more; more++)
		list = add_to(list, *more);
	call->headers = list;
	SET(call, CURLOPT_HTTPHEADER, list);
}

struct http_call *http_post(struct http *http, const char *body, size_t len, int64_t timeout_ms,
			    http_done_fn *done, void *arg)
{
	return http_post_with(http, (const char *const[]){ NULL }, body, len, timeout_ms, done,
			      arg);
}

/* Fields to post make a POST of it, whatever the handle did before. */
struct http_call *http_post_with(struct http *http, const char *const *headers, const char *body,
				 size_t len, int64_t timeout_ms, http_done_fn *done, void *arg)
{
	struct http_call *call = call_take(http);

	call_add_headers(call, headers);
	SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	SET(call, CURLOPT_COPYPOSTFIELDS, body);
	return call_start(call, timeout_ms, done, arg);
}

struct http_call *http_get(struct http *http, int64_t timeout_ms, http_done_fn *done, void *arg)
{
	struct http_call *call = call_take(http);

	SET(call, CURLOPT_HTTPGET, 1L);
	return call_start(call, timeout_ms, done, arg);
}

void http_cancel(struct http_call *call)
{
	curl_multi_remove_handle(call->http->multi, call->easy);
	call_release(call);
}

/* The URL may hold a password, so errors do not quote it. */
static int check_url(const char *url, bool *tls, struct err *err)
{
	CURLU *parsed = curl_url();
	CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
	char *scheme = NULL;
	bool plain;

	if (code == CURLUE_OK)
		code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
	plain = scheme && strcasecmp(scheme, "http") == 0;
	*tls = scheme && strcasecmp(scheme, "https") == 0;
	curl_free(scheme);
	curl_url_cleanup(parsed);
	if (code != CURLUE_OK)
		return err_set(err, ERR_CONFIG, "the URL cannot be read: %s",
			       curl_url_strerror(code));
	if (!plain && !*tls)
		return err_set(err, ERR_CONFIG, "the URL begins with neither http:// nor https://");
	return 0;
}

/* Shells and service managers often allow 1,024, which a pool's many slots and calls outgrow. */
static void allow_descriptors(int64_t connections)
{
	rlim_t want = (rlim_t)connections + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= want)
		return;
	if (limit.rlim_max < want)
		log_warn("pool.in_flight asks for %" PRId64 " connections, but this process may "
			 "open no more than %ju files: raise its hard limit (ulimit -Hn)",
			 connections, (uintmax_t)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	setrlimit(RLIMIT_NOFILE, &limit);
}

struct http *http_new(struct loop *loop, const struct http_endpoint *endpoint, struct err *err)
{
	struct http *http;
	bool tls;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatal("libcurl cannot start");
	if (check_url(endpoint->url, &tls, err) == -1) {
		curl_global_cleanup();
		return NULL;
	}
	http = xcalloc(1, sizeof(*http));
	allow_descriptors(endpoint->connections);
	http->loop = loop;
	http->url = xstrdup(endpoint->url);
	http->tls = tls;
	http->outside_only = endpoint->outside_only;
	http->ca_file = endpoint->ca_file ? xstrdup(endpoint->ca_file) : NULL;
	http->proxy = endpoint->proxy ? xstrdup(endpoint->proxy) : NULL;
	http->connect_timeout_ms = endpoint->connect_timeout_ms;
	http->reply_cap_bytes = endpoint->reply_cap_bytes;
	for (const char *const *header = endpoint->headers; *header; header++)
		http->headers = add_to(http->headers, *header);
	http->headers = add_to(http->headers, "Expect:");	/* long bodies need no 100 Continue first */
	http->multi = curl_multi_init();
	http->share = curl_share_init();
	if (!http->multi || !http->share ||
	    curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
		    CURLSHE_OK)
		fatal("out of memory for HTTP");
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)endpoint->connections);
	return http;
}

void http_free(struct http *http)
{
	struct http_call *call;

	if (!http)
		return;
	while ((call = LIST_FIRST(&http->in_flight)))
		http_cancel(call);
	while ((call = LIST_FIRST(&http->idle))) {
		LIST_REMOVE(call, link);
		curl_easy_cleanup(call->easy);
		buf_free(&call->body);
		free(call);
	}
	curl_multi_cleanup(http->multi);
	curl_share_cleanup(http->share);
	loop_timer_stop(http->loop, &http->timer);
	for (struct curl_slist *header = http->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(http->headers);
	if (http->proxy)
		explicit_bzero(http->proxy, strlen(http->proxy));
	free(http->proxy);
	free(http->ca_file);
	free(http->url);
	free(http);
	curl_global_cleanup();
}
