/*
 * A language model for benchmarks: it answers every call after the same time, and with a rating for
 * each line asked about. One process, one thread, one epoll; HTTP/1.1 with keep-alive on loopback,
 * no TLS. It looks for the few bytes that it needs and parses nothing, so that it is not what is
 * measured.
 *
 * model DELAY_MS: prints its port and serves until its input ends. GET anything tells what it has
 * seen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

#define REQUEST_CAP_BYTES (1u << 20)
#define REPLY_CAP_BYTES (1u << 20)
#define READ_BYTES (64u << 10)
#define EVENTS 256
#define BACKLOG 4096
#define SCALE_MAX 20
#define NS_PER_MS 1000000

/* One connection has one request at a time. */
struct peer {
	int fd;
	bool asked;			/* it has brought a call, not only a GET */
	bool thinking, gone;		/* gone while thinking: freed when it is due */
	struct buf in, out;
	int64_t asked_ns;
	/* Of those thinking, the next to be due: all think for as long. */
	struct peer *next;
};

static struct {
	int64_t calls, answered, connections, open, peak, late_ns;
	int64_t open_ns;		/* summed over the calls, up to changed_ns */
	int64_t changed_ns, began_ns;
} seen;

static struct peer *first, **last = &first;
static int64_t delay_ns;
static int poller;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void count_open(int change, int64_t now)
{
	seen.open_ns += seen.open * (now - seen.changed_ns);
	seen.changed_ns = now;
	seen.open += change;
	if (seen.open > seen.peak)
		seen.peak = seen.open;
}

/* ---- a request ---- */

/* Behind the needle, or NULL. */
static const char *behind(const char *hay, const char *needle)
{
	const char *at = hay ? strstr(hay, needle) : NULL;

	return at ? at + strlen(needle) : NULL;
}

/* The words of a list of strings, each between \" and \". */
static int read_scale(const char *at, const char *words[], int lens[])
{
	int n = 0;

	while (at && n < SCALE_MAX && strncmp(at, "\\\"", 2) == 0) {
		const char *end = strstr(at + 2, "\\\"");

		if (!end)
			break;
		words[n] = at + 2;
		lens[n++] = (int)(end - at - 2);
		at = strncmp(end, "\\\", ", 4) == 0 ? end + 4 : NULL;
	}
	return n;
}

/*
 * The question is JSON in a JSON string: its own quotes are \", those in its texts \\\", so that
 * these needles find nothing but what they mean.
 */
static void write_ratings(struct buf *out, const char *body)
{
	const char *question = behind(body, "\"role\":\"user\""), *words[SCALE_MAX];
	const char *at = behind(question, "\\\"lines\\\": ["), *separator = "";
	int lens[SCALE_MAX], n = read_scale(behind(question, "\\\"scale\\\": ["), words, lens);

	buf_str(out, "{\\\"ratings\\\":[");
	while (n > 0 && (at = behind(at, "{\\\"line\\\": "))) {
		long line = strtol(at, NULL, 10);

		buf_printf(out,
			   "%s{\\\"line\\\":%ld,\\\"rating\\\":\\\"%.*s\\\",\\\"alternatives\\\":"
			   "[\\\"What matters most to you when you look at the offer as a whole?"
			   "\\\",\\\"May I show you in two minutes how others in your street use "
			   "it?\\\"],\\\"reason\\\":\\\"It asks nothing and leaves the next step "
			   "to the customer.\\\"}",
			   separator, line, lens[line % n], words[line % n]);
		separator = ",";
	}
	buf_str(out, "]}");
}

static void write_head(struct buf *out, size_t len)
{
	buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Content-Length: %zu\r\n\r\n", len);
}

static void write_completion(struct buf *out, const char *body, size_t len)
{
	struct buf reply;

	buf_init(&reply, REPLY_CAP_BYTES);
	buf_str(&reply, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,"
		"\"model\":\"bench\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\","
		"\"message\":{\"role\":\"assistant\",\"content\":\"");
	write_ratings(&reply, body);
	buf_printf(&reply, "\"}}],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
		   "\"total_tokens\":%zu}}",
		   len / 4, reply.len / 4, (len + reply.len) / 4);
	write_head(out, reply.len);
	buf_add(out, reply.data, reply.len);
	buf_free(&reply);
}

static void write_seen(struct buf *out)
{
	struct buf reply;

	count_open(0, now_ns());
	buf_init(&reply, REPLY_CAP_BYTES);
	buf_printf(&reply, "{\"calls\":%" PRId64 ",\"answered\":%" PRId64
		   ",\"connections\":%" PRId64 ",\"open\":%" PRId64
		   ",\"peak\":%" PRId64 ",\"open_s\":%.6f,\"late_s\":%.6f,\"began_s\":%.6f,"
		   "\"now_s\":%.6f}\n",
		   seen.calls, seen.answered, seen.connections, seen.open, seen.peak,
		   (double)seen.open_ns / 1e9, (double)seen.late_ns / 1e9,
		   (double)seen.began_ns / 1e9, (double)seen.changed_ns / 1e9);
	write_head(out, reply.len);
	buf_add(out, reply.data, reply.len);
	buf_free(&reply);
}

/* ---- connections ---- */

static void forget(struct peer *p)
{
	buf_free(&p->in);
	buf_free(&p->out);
	free(p);
}

static void drop(struct peer *p)
{
	close(p->fd);
	p->gone = true;
	if (!p->thinking)
		forget(p);
}

/* A reply fits into the socket's buffer, or the peer is not one of ours. */
static void answer(struct peer *p)
{
	if (write(p->fd, p->out.data, p->out.len) != (ssize_t)p->out.len)
		drop(p);
}

/* Of the request that is in p->in, whole or not; 0 while its head is not. */
static size_t body_of(const struct peer *p, size_t *len)
{
	const char *end = strstr(p->in.data, "\r\n\r\n"), *at = p->in.data;

	*len = 0;
	if (!end)
		return 0;
	while ((at = behind(at, "\r\n")) && at < end)
		if (strncasecmp(at, "Content-Length:", 15) == 0)
			*len = strtoul(at + 15, NULL, 10);
	return (size_t)(end - p->in.data) + 4;
}

static void think(struct peer *p, size_t body)
{
	p->asked_ns = now_ns();
	if (seen.calls++ == 0)
		seen.began_ns = p->asked_ns;
	count_open(1, p->asked_ns);
	seen.connections += !p->asked;
	p->asked = true;
	write_completion(&p->out, p->in.data + body, p->in.len - body);
	p->thinking = true;
	p->next = NULL;
	*last = p;
	last = &p->next;
}

static void take_request(struct peer *p)
{
	size_t len, body;

	if (!buf_text(&p->in)[0] || (body = body_of(p, &len)) == 0 || p->in.len < body + len)
		return;
	buf_reset(&p->out);
	if (strncmp(p->in.data, "GET ", 4) == 0) {
		write_seen(&p->out);
		buf_reset(&p->in);
		answer(p);
		return;
	}
	think(p, body);
	buf_reset(&p->in);
}

static void on_input(struct peer *p)
{
	static char bytes[READ_BYTES];
	ssize_t n = read(p->fd, bytes, sizeof(bytes));

	if (n > 0 && !p->thinking) {
		buf_add(&p->in, bytes, (size_t)n);
		if (buf_ok(&p->in)) {
			take_request(p);
			return;
		}
	}
	if (n >= 0 || errno != EAGAIN)
		drop(p);
}

static void watch(int fd, void *data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };

	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == -1)
		fatal("epoll_ctl: %s", strerror(errno));
}

static void on_connection(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct peer *p = calloc(1, sizeof(*p));

		if (!p)
			fatal("out of memory");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		p->fd = fd;
		buf_init(&p->in, REQUEST_CAP_BYTES);
		buf_init(&p->out, REPLY_CAP_BYTES);
		watch(fd, p);
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		fatal("accept: %s", strerror(errno));
}

/* Answers what is due; ms until the next is. */
static int answer_due(void)
{
	int64_t now = now_ns();

	while (first && first->asked_ns + delay_ns <= now) {
		struct peer *p = first;

		first = p->next;
		if (!first)
			last = &first;
		p->thinking = false;
		count_open(-1, now);
		seen.late_ns += now - p->asked_ns - delay_ns;
		seen.answered++;
		if (p->gone)
			forget(p);
		else
			answer(p);
	}
	return first ? (int)((first->asked_ns + delay_ns - now) / NS_PER_MS) + 1 : -1;
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&address, size) == -1 ||
	    listen(fd, BACKLOG) == -1 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) == -1)
		fatal("cannot listen: %s", strerror(errno));
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void allow_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void serve(int listener)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(poller, events, EVENTS, answer_due());

		for (int i = 0; i < n; i++) {
			/* nobody holds our input any more */
			if (events[i].data.ptr == &poller)
				return;
			if (events[i].data.ptr)
				on_input(events[i].data.ptr);
			else
				on_connection(listener);
		}
	}
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 2) {
		fprintf(stderr, "usage: model DELAY_MS\n");
		return 2;
	}
	delay_ns = (int64_t)(atof(argv[1]) * NS_PER_MS);
	allow_descriptors();
	poller = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_anywhere();
	watch(listener, NULL);
	watch(STDIN_FILENO, &poller);
	serve(listener);
	return 0;
}
