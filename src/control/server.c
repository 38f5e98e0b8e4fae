/*
 * The control socket: who may connect, how long, how much, and one framed answer each. Supervisor;
 * every call returns at once, and a client can spoil nothing but its own exchange.
 */
#include "control/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/control_socket.h"

#define REPLY_CAP_BYTES (4 << 20)
#define ACCEPT_BATCH 16		/* in one turn: a flood of clients must not starve the rest */
#define DISCARD_CAP_BYTES (1u << 20)
#define ACCEPT_PAUSE_MS 1000	/* after accept(2) failed for want of descriptors or memory */

struct client {
	struct control *control;
	int fd;				/* -1: this place is free */
	bool admin;
	char line[CONTROL_LINE_CAP];
	size_t len;
	bool line_ended;		/* with a newline: the peer has nothing more to say */
	bool waiting;			/* for control_answer() */
	struct buf reply;
	size_t sent;
	size_t discarded;		/* of what came after the reply was made */
	struct loop_timer deadline;
};

struct control {
	struct loop *loop;
	control_handler *handler;
	void *handler_arg;
	struct control_socket socket;
	struct loop_timer pause;
	struct client clients[CONTROL_CLIENTS];
};

/* ---- clients ---- */

static void client_drop(struct client *client)
{
	struct loop *loop = client->control->loop;

	loop_timer_stop(loop, &client->deadline);
	loop_unwatch(loop, client->fd);
	close(client->fd);
	client->fd = -1;
	buf_free(&client->reply);
}

static void on_deadline(void *arg)
{
	struct client *client = arg;

	log_debug("control: a client was dropped after %d ms", CONTROL_DEADLINE_MS);
	client_drop(client);
}

static void on_client(void *arg, int fd, short revents);

/*
 * All is said. Of a peer that is still sending, some is read and thrown away: to close on unread
 * bytes would reset the connection, and the answer with it.
 */
static void client_finish(struct client *client)
{
	if (client->line_ended || shutdown(client->fd, SHUT_WR) == -1 ||
	    loop_watch(client->control->loop, client->fd, POLLIN, on_client, client) == -1)
		client_drop(client);
}

static void client_discard(struct client *client)
{
	char waste[4096];
	ssize_t n = recv(client->fd, waste, sizeof(waste), 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	client->discarded += n > 0 ? (size_t)n : 0;
	if (n <= 0 || client->discarded > DISCARD_CAP_BYTES)
		client_drop(client);
}

/* Sends what the peer takes now; the loop comes back for the rest. */
static void client_send(struct client *client)
{
	const struct buf *reply = &client->reply;
	ssize_t n = send(client->fd, reply->data + client->sent, reply->len - client->sent,
			 MSG_NOSIGNAL);

	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		client_drop(client);
		return;
	}
	if (n > 0)
		client->sent += (size_t)n;
	if (client->sent == reply->len)
		client_finish(client);
	else if (loop_watch(client->control->loop, client->fd, POLLOUT, on_client, client) == -1)
		client_drop(client);
}

static void reply_err(struct buf *reply, const char *reason)
{
	buf_printf(reply, "err %s\n", reason);
}

static void reply_ok(struct buf *reply, const struct buf *body)
{
	buf_printf(reply, "ok %zu\n", body->len);
	buf_add(reply, body->data, body->len);
}

/* line: as it came, without its newline. */
static void make_reply(struct client *client, char *line, size_t len)
{
	struct control *c = client->control;
	struct err err = { 0 };
	struct buf body;
	int rc;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	buf_init(&body, REPLY_CAP_BYTES);
	if (strlen(line) != len) {
		reply_err(&client->reply, "the request holds bytes that are no words");
	} else if ((rc = c->handler(c->handler_arg, line, client->admin, &body, &err)) == -1) {
		reply_err(&client->reply, err.text);
	} else if (rc == CONTROL_GOES_ON) {
		client->waiting = true;
	} else if (!buf_ok(&body)) {
		reply_err(&client->reply, "the answer does not fit into memory");
	} else {
		reply_ok(&client->reply, &body);
	}
	buf_free(&body);
}

static void client_say(struct client *client)
{
	if (buf_ok(&client->reply))
		client_send(client);
	else
		client_drop(client);
}

/* What follows the first line is not read: one question, one answer. */
static void client_answer(struct client *client)
{
	char *newline = memchr(client->line, '\n', client->len);

	client->line_ended = newline != NULL;
	if (newline)
		make_reply(client, client->line, (size_t)(newline - client->line));
	else
		reply_err(&client->reply, "the request line is too long");
	if (client->waiting)
		loop_unwatch(client->control->loop, client->fd);
	else
		client_say(client);
}

void control_answer(struct control *c, const struct err *err, const char *body)
{
	struct buf text;

	buf_init(&text, REPLY_CAP_BYTES);
	buf_str(&text, body);
	for (struct client *client = c->clients; client < c->clients + CONTROL_CLIENTS; client++) {
		if (client->fd == -1 || !client->waiting)
			continue;
		client->waiting = false;
		if (err->kind == ERR_NONE)
			reply_ok(&client->reply, &text);
		else
			reply_err(&client->reply, err->text);
		client_say(client);
	}
	buf_free(&text);
}

/*
 * A line that ends without its newline is dropped, not run: of "scale 16" a peer that goes away may
 * have sent "scale 1".
 */
static void client_read(struct client *client)
{
	ssize_t n = recv(client->fd, client->line + client->len, sizeof(client->line) - client->len,
			 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(client);
		return;
	}
	client->len += (size_t)n;
	if (client->len == sizeof(client->line) || memchr(client->line, '\n', client->len))
		client_answer(client);
}

static void on_client(void *arg, int fd, short revents)
{
	struct client *client = arg;

	(void)fd, (void)revents;	/* hang-ups and errors show in the call that follows */
	if (client->reply.len && client->sent == client->reply.len)
		client_discard(client);
	else if (client->reply.len)
		client_send(client);
	else
		client_read(client);
}

/* Who could connect may read; the owner and root may change things. */
static bool peer_is_admin(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void tell_full(int fd)
{
	static const char full[] = "err too many clients\n";

	(void)send(fd, full, strlen(full), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static struct client *find_free(struct control *c)
{
	for (struct client *client = c->clients; client < c->clients + CONTROL_CLIENTS; client++)
		if (client->fd == -1)
			return client;
	return NULL;
}

/* It has not asked yet, or has all of its answer. */
static bool is_idle(const struct client *client)
{
	return client->fd != -1 && !client->waiting && client->sent == client->reply.len;
}

/*
 * The idle one that came first, however lately it sent a byte: all deadlines are equally long. NULL
 * when all are served.
 */
static struct client *find_idle(struct control *c)
{
	struct client *first = NULL;

	for (struct client *client = c->clients; client < c->clients + CONTROL_CLIENTS; client++)
		if (is_idle(client) && (!first || client->deadline.at_ms < first->deadline.at_ms))
			first = client;
	return first;
}

/* Until the next client has a place, or cannot have one: 0 is now. */
static int64_t room_in_ms(struct control *c)
{
	const struct client *idle = find_free(c) ? NULL : find_idle(c);
	int64_t at_ms = idle ? idle->deadline.at_ms - CONTROL_DEADLINE_MS + CONTROL_GRACE_MS : 0;
	int64_t left = at_ms - now_ms();

	return left > 0 ? left : 0;
}

/* A free place, or an idle client's: but first it is looked whether its line has just come. */
static struct client *make_room(struct control *c)
{
	struct client *place, *idle;

	while (!(place = find_free(c)) && (idle = find_idle(c))) {
		on_client(idle, idle->fd, 0);
		if (is_idle(idle)) {
			tell_full(idle->fd);
			client_drop(idle);
		}
	}
	return place;
}

static void client_add(struct control *c, int fd)
{
	struct client *client = make_room(c);

	if (!client) {
		tell_full(fd);
		close(fd);
		return;
	}
	*client = (struct client){ .control = c, .fd = fd, .admin = peer_is_admin(fd) };
	buf_init(&client->reply, REPLY_CAP_BYTES + CONTROL_LINE_CAP);
	if (loop_timer_set(c->loop, &client->deadline, CONTROL_DEADLINE_MS, on_deadline,
			   client) == -1 ||
	    loop_watch(c->loop, fd, POLLIN, on_client, client) == -1)
		client_drop(client);
}

/* ---- the listening socket ---- */

static void on_listener(void *arg, int fd, short revents);

static void on_pause_over(void *arg)
{
	struct control *c = arg;

	if (loop_watch(c->loop, c->socket.listener, POLLIN, on_listener, c) == -1)
		loop_timer_set(c->loop, &c->pause, ACCEPT_PAUSE_MS, on_pause_over, c);
}

/* The connection stays in the queue, so without a pause poll(2) would return at once, for ever. */
static void pause_accepting(struct control *c, int64_t ms)
{
	if (loop_timer_set(c->loop, &c->pause, ms, on_pause_over, c) == 0)
		loop_unwatch(c->loop, c->socket.listener);
}

static void on_listener(void *arg, int fd, short revents)
{
	struct control *c = arg;

	(void)revents;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int64_t full_ms = room_in_ms(c);
		int peer;

		if (full_ms > 0) {
			pause_accepting(c, full_ms);
			return;
		}
		peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (peer != -1) {
			client_add(c, peer);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno != EAGAIN) {
				log_warn("control: cannot accept a client: %s; "
					 "trying again in %d ms", strerror(errno), ACCEPT_PAUSE_MS);
				pause_accepting(c, ACCEPT_PAUSE_MS);
			}
			return;
		}
	}
}

/* ---- opening and closing ---- */

struct control *control_open(const char *path, const char *group, struct loop *loop,
			     control_handler *handler, void *arg, struct err *err)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(err, ERR_RETRY, "out of memory for the control socket");
		return NULL;
	}
	c->loop = loop;
	c->handler = handler;
	c->handler_arg = arg;
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		c->clients[i].fd = -1;
	if (control_socket_open(&c->socket, path, group, err) == -1)
		goto failed;
	if (loop_watch(loop, c->socket.listener, POLLIN, on_listener, c) == -1) {
		err_set(err, ERR_RETRY, "out of memory for the control socket");
		goto failed;
	}
	return c;
failed:
	control_socket_remove(&c->socket);
	free(c);
	return NULL;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd != -1)
			client_drop(&c->clients[i]);
	loop_timer_stop(c->loop, &c->pause);
	loop_unwatch(c->loop, c->socket.listener);
	control_socket_remove(&c->socket);
	free(c);
}

/* The loop's watches are a copy of the parent's, and go with the child's copy of that loop. */
void control_forget(struct control *c)
{
	if (!c)
		return;
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->clients[i].fd != -1)
			close(c->clients[i].fd);
		buf_free(&c->clients[i].reply);
	}
	control_socket_close(&c->socket);
	free(c);
}
