/*
 * One asynchronous connection to Postgres. Owned by a worker or the janitor, in its loop; it never
 * blocks and never sends anything twice. States: down (waiting for the retry timer), connecting,
 * setting up, ready. What is on its way is in pgrequest.c, the steps of the set-up in pgsetup.c.
 * See the libpq manual, "Pipeline Mode" and "Asynchronous Connection".
 */
#include "pg/pg.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "pg/pgerror.h"
#include "pgcancel.h"
#include "pgconnect.h"
#include "pgrequest.h"
#include "pgsetup.h"

#define ANSWER_TIMEOUT_MS 30000
#define CANCEL_TIMEOUT_MS 1000		/* for what the server says to a request to cancel */
#define CANCEL_NEXT_MS 50		/* for the statement behind it to get to where it waits */
#define CANCELS_MAX 8			/* requests before a connection is given up */
#define FAREWELL_MS 800			/* at most, for what is on its way when it is freed */
#define FAREWELL_GRACE_MS 300		/* of these, for its answer, before it is cancelled */
#define RETRY_FIRST_MS 100
#define RETRY_STALE_MS 500		/* doubled: the next session may find the same */
#define RETRY_MAX_MS 3000

enum pg_state { PG_DOWN, PG_CONNECTING, PG_SETUP, PG_READY };

struct pg {
	struct loop *loop;
	struct pg_options options;
	struct pg_events events;
	void *arg;
	enum pg_state state;
	PGconn *conn;
	int watched_fd;			/* the descriptor that the loop watches; -1: none */
	struct pgrequests requests;
	struct loop_timer timer;	/* next attempt when down, else patience with the server */
	int64_t retry_ms;		/* pause before the next attempt, doubled each time */
	int64_t connect_ms;		/* patience with an attempt to connect */
	int cancels;			/* requests sent; from the first on it is given up */
	bool standby_away;		/* the server said that it waited for a standby */
	unsigned first_host;		/* the one of several hosts that is tried first */
	enum preface preface;		/* of statements behind a transaction pooler */
	struct pgsetup setup;
	struct pg_counts counts;	/* but for the statements, which the requests count */
};

static void pg_connect(void *arg);
static void on_timeout(void *arg);
static void on_socket(void *arg, int fd, short revents);

static void watch(struct pg *pg, short events)
{
	int fd = PQsocket(pg->conn);

	if (pg->watched_fd != fd && pg->watched_fd != -1)
		loop_unwatch(pg->loop, pg->watched_fd);
	pg->watched_fd = fd;
	if (fd != -1 && loop_watch(pg->loop, fd, events, on_socket, pg) == -1)
		fatal("out of memory: cannot watch the database connection");
}

static void clean_up_connection(struct pg *pg)
{
	if (pg->watched_fd != -1)
		loop_unwatch(pg->loop, pg->watched_fd);
	pg->watched_fd = -1;
	loop_timer_stop(pg->loop, &pg->timer);
	PQfinish(pg->conn);
	pg->conn = NULL;
	pg->state = PG_DOWN;
}

/* ---- losing it ---- */

/*
 * The connection is of no use any more: closes it, schedules the next attempt, tells everyone who
 * waits for an answer that none will come. Full jitter between attempts, so that a whole pool does
 * not come back in step.
 */
static void go_down(struct pg *pg, enum pg_trouble trouble, const struct err *err)
{
	struct err lost = *err;
	int64_t delay;

	pg->counts.lost++;
	clean_up_connection(pg);
	pg->retry_ms = pg->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pg->retry_ms * 2;
	delay = pg->retry_ms / 2 + (int64_t)(random() % (pg->retry_ms / 2 + 1));
	if (loop_timer_set(pg->loop, &pg->timer, delay, pg_connect, pg) == -1)
		fatal("out of memory: cannot set a timer");
	lost.kind = ERR_LOST;
	while (pg->requests.head) {
		struct pgrequest *r = pgrequests_pop(&pg->requests);

		if (r->answer)
			r->answer(r->arg, NULL, &lost);
		pgrequest_free(r);
	}
	pg->events.down(pg->arg, trouble, err);
}

static void connection_lost(struct pg *pg)
{
	struct err err;
	char text[400];

	pgerror_copy_message(text, sizeof(text), PQerrorMessage(pg->conn));
	err_set(&err, ERR_LOST, "the database connection was lost: %s",
		text[0] ? text : "closed by the server");
	go_down(pg, PG_AWAY, &err);
}

static void give_up(struct pg *pg)
{
	struct err err;

	err_set(&err, ERR_LOST, "the database did not answer `%s` within %d s%s; connecting anew",
		pgrequest_name(pg->requests.head), ANSWER_TIMEOUT_MS / 1000,
		pg->standby_away ? ", as it waits for a synchronous standby that is away "
				   "(synchronous_standby_names)" : "");
	go_down(pg, PG_AWAY, &err);
}

static void cancel_later(struct pg *pg, int64_t ms)
{
	if (loop_timer_set(pg->loop, &pg->timer, ms, on_timeout, pg) == -1)
		fatal("out of memory: cannot set a timer");
}

/*
 * A statement that is cancelled leaves no server process behind that waits on. Those that went out
 * with it are carried out next, and wait for the same.
 */
static void cancel(struct pg *pg)
{
	pg->state = PG_SETUP;	/* not ready for anyone else meanwhile */
	pg->cancels++;
	pgcancel_send(pg->conn);
	cancel_later(pg, CANCEL_TIMEOUT_MS);
}

static void answered_when_cancelled(struct pg *pg)
{
	const struct pgrequest *next = pg->requests.head->next;
	struct err lost = { .kind = ERR_LOST };
	struct pgrequest *r;

	if (!next || !next->sent_ms) {
		give_up(pg);
		return;
	}
	r = pgrequests_pop(&pg->requests);
	if (r->answer)
		r->answer(r->arg, NULL, &lost);
	pgrequest_free(r);
	cancel_later(pg, CANCEL_NEXT_MS);
}

static void on_timeout(void *arg)
{
	struct pg *pg = arg;
	const struct pgrequest *oldest = pg->requests.head;
	int64_t waited = oldest && oldest->sent_ms ? now_ms() - oldest->sent_ms : 0;
	struct err err;

	if (pg->state == PG_CONNECTING) {
		err_set(&err, ERR_LOST, "the database did not accept a connection within %d s",
			(int)(pg->connect_ms / 1000));
		pg->first_host++;
		pg->retry_ms = RETRY_FIRST_MS;	/* that was pause enough */
	} else if (!oldest) {
		return;
	} else if (waited < ANSWER_TIMEOUT_MS && pg->cancels == 0) {
		loop_timer_set(pg->loop, &pg->timer, ANSWER_TIMEOUT_MS - waited, on_timeout,
			       pg);
		return;
	} else {
		if (pg->cancels < CANCELS_MAX)
			cancel(pg);
		else
			give_up(pg);
		return;
	}
	go_down(pg, PG_AWAY, &err);
}

static void lost_while_sending(void *arg)
{
	connection_lost(arg);
}

/*
 * The connection failed under a caller of pg_send(): the loss is dealt with in the next turn, so
 * that no answer function runs inside somebody's pg_send().
 */
static void lose_later(struct pg *pg)
{
	pg->state = PG_SETUP;	/* not ready for anyone else meanwhile */
	if (loop_timer_set(pg->loop, &pg->timer, 0, lost_while_sending, pg) == -1)
		fatal("out of memory: cannot set a timer");
}

/* ---- sending ---- */

/* While bytes wait to go out the server may wait for us to read, so wait for both. */
static void flush(struct pg *pg)
{
	int rest = PQflush(pg->conn);

	if (rest == -1)
		lose_later(pg);
	else
		watch(pg, rest ? POLLIN | POLLOUT : POLLIN);
}

/* From the first statement that is on its way until none is, the server's patience is limited. */
static void expect_answer(struct pg *pg)
{
	if (!loop_timer_is_set(&pg->timer) &&
	    loop_timer_set(pg->loop, &pg->timer, ANSWER_TIMEOUT_MS, on_timeout, pg) == -1)
		fatal("out of memory: cannot set a timer");
}

static void mark_sent(struct pg *pg, struct pgrequest *r)
{
	pgrequests_mark_sent(&pg->requests, r);
	expect_answer(pg);
}

/*
 * Behind a transaction pooler one statement at a time: a pooler that hands the server on at the
 * first sync (PgBouncer 1.18 does) gives the answers to what followed to somebody else.
 */
static void send_next(struct pg *pg)
{
	struct pgrequest *r = pg->requests.head;

	if (pg->state != PG_READY || !r || r->sent_ms)
		return;
	if (!pgrequest_write(pg->conn, pg->preface, pg->options.brief, r->statement, r->params)) {
		lose_later(pg);
		return;
	}
	r->prefaces = (int)pg->preface;
	mark_sent(pg, r);
	flush(pg);
}

int pg_send(struct pg *pg, const struct statement *st, const struct buf *params,
	    pg_answer_fn *answer, void *arg)
{
	if (pg->state != PG_READY)
		return -1;
	if (!pg->options.session) {
		pgrequest_keep_params(pgrequests_add(&pg->requests, st, answer, arg), params);
		send_next(pg);
		return 0;
	}
	if (!pgrequest_write(pg->conn, PREFACE_NONE, false, st, params)) {
		lose_later(pg);
		return -1;
	}
	mark_sent(pg, pgrequests_add(&pg->requests, st, answer, arg));
	flush(pg);
	return 0;
}

/* ---- setting up ---- */

static void on_set_up(void *arg)
{
	struct pg *pg = arg;

	if (pg->setup.err.kind != ERR_NONE) {
		struct err refused = pg->setup.err;

		go_down(pg, refused.kind == ERR_CONFIG ? PG_REFUSED : PG_AWAY, &refused);
		return;
	}
	pg->state = PG_READY;
	pg->preface = pg->setup.read_committed ? PREFACE_SETTINGS : PREFACE_LEVEL;
	pg->retry_ms = RETRY_FIRST_MS;
	pg->counts.connects++;
	pg->events.ready(pg->arg);
}

static void set_up(struct pg *pg)
{
	bool ok;

	pg->state = PG_SETUP;
	loop_timer_stop(pg->loop, &pg->timer);
	ok = PQenterPipelineMode(pg->conn) &&
	     pgsetup_send(&pg->setup, pg->conn, &pg->requests);
	expect_answer(pg);
	if (ok)
		flush(pg);
	else
		connection_lost(pg);
}

/* ---- connecting ---- */

static void connect_failed(struct pg *pg)
{
	const char *message = PQerrorMessage(pg->conn);
	enum pg_trouble trouble = PG_AWAY;
	struct err err;
	char text[400];

	if (pgerror_is_refusal(message))
		trouble = PG_REFUSED;
	pgerror_copy_message(text, sizeof(text), message);
	err_set(&err, trouble == PG_REFUSED ? ERR_CONFIG : ERR_LOST,
		"cannot connect to the database: %s", text);
	go_down(pg, trouble, &err);
}

static void advance_connect(struct pg *pg)
{
	switch (PQconnectPoll(pg->conn)) {
	case PGRES_POLLING_READING:
		watch(pg, POLLIN);
		break;
	case PGRES_POLLING_WRITING:
		watch(pg, POLLOUT);
		break;
	case PGRES_POLLING_OK:
		set_up(pg);
		break;
	default:
		connect_failed(pg);
	}
}

/* Told by where it comes from: its words are in the server's language. */
static void on_notice(void *arg, const PGresult *result)
{
	const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
	struct pg *pg = arg;

	if (function && strcmp(function, "SyncRepWaitForLSN") == 0)
		pg->standby_away = true;
	log_debug("the database says: %s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
}

static void pg_connect(void *arg)
{
	struct pg *pg = arg;
	int64_t began = now_ms();
	struct err err;

	if (pgerror_check_conninfo(pg->options.conninfo, &err) == -1) {
		go_down(pg, PG_REFUSED, &err);
		return;
	}
	pg->conn = pgconnect_start(pg->options.conninfo, pg->options.application_name,
				   pg->first_host);
	if (!pg->conn)
		fatal("out of memory: cannot make a database connection");
	if (now_ms() - began > 1000)
		log_warn("resolving the database's host name took %d ms", (int)(now_ms() - began));
	PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(pg->conn, on_notice, pg);
	pg->state = PG_CONNECTING;
	pg->cancels = 0;
	pg->standby_away = false;
	if (PQstatus(pg->conn) == CONNECTION_BAD || PQsetnonblocking(pg->conn, 1) == -1) {
		connect_failed(pg);
		return;
	}
	if (loop_timer_set(pg->loop, &pg->timer, pg->connect_ms, on_timeout, pg) == -1)
		fatal("out of memory: cannot set a timer");
	watch(pg, POLLOUT);	/* the manual: begin as if PQconnectPoll had said "writing" */
}

/* ---- answers ---- */

/*
 * What a session was told when it began is no longer true: another one will do, this one never
 * again.
 */
static void drop_session(struct pg *pg, struct pgrequest *r, const struct err *err)
{
	struct err lost;

	err_set(&lost, ERR_LOST, "%s; connecting anew", err->text);
	r->answer(r->arg, NULL, &lost);
	pgrequest_free(r);
	if (pg->requests.head && pg->requests.head->sent_ms)
		pgcancel_send(pg->conn);	/* what went out with it may wait for long */
	pg->retry_ms = RETRY_STALE_MS;
	go_down(pg, PG_AWAY, &lost);
}

static bool is_good(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/*
 * Is this the pooler's other server, whose transactions begin otherwise than those of the one that
 * we were set up on? Nothing was done then.
 */
static bool wants_level(const struct pg *pg)
{
	const struct pgrequest *r = pg->requests.head;

	return pg->state == PG_READY && !pg->options.session && pg->preface < PREFACE_LEVEL &&
	       r->prefaces > 0 && r->result && pgerror_is_of_level(r->result);
}

static void send_again(struct pg *pg)
{
	struct pgrequest *r = pg->requests.head;

	PQclear(r->result);
	r->result = NULL;
	r->sent_ms = 0;
	send_next(pg);
}

static void deliver(struct pg *pg)
{
	struct pgrequest *r;
	struct err err = { .kind = ERR_NONE };
	char what[80];

	if (pg->cancels > 0) {
		answered_when_cancelled(pg);
		return;
	}
	if (wants_level(pg)) {
		pg->preface = PREFACE_LEVEL;
		send_again(pg);
		return;
	}
	r = pgrequests_pop(&pg->requests);
	if (!r->result || !is_good(r->result)) {
		snprintf(what, sizeof(what), "statement `%s`", pgrequest_name(r));
		pgerror_set(&err, what, r->result);
	}
	if (!pg->requests.head)
		loop_timer_stop(pg->loop, &pg->timer);
	if (err.kind != ERR_NONE && pg->state == PG_READY && pgerror_is_of_session(r->result)) {
		drop_session(pg, r, &err);
		return;
	}
	if (err.kind != ERR_NONE)
		r->answer(r->arg, NULL, &err);
	else
		r->answer(r->arg, r->result, NULL);
	pgrequest_free(r);
	send_next(pg);
}

/* Results until libpq has no whole one left. An answer may take the connection down: look again. */
static void read_results(struct pg *pg)
{
	while (pg->conn && pg->requests.head && pg->requests.head->sent_ms && !PQisBusy(pg->conn)) {
		PGresult *result = PQgetResult(pg->conn);

		if (!result) {
			if (PQstatus(pg->conn) == CONNECTION_BAD)
				return;
			continue;	/* the end of its results; its sync is still to come */
		}
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			deliver(pg);
		} else if (pg->requests.head->prefaces > 0 && is_good(result)) {
			pg->requests.head->prefaces--;
			PQclear(result);
		} else {
			pgrequest_keep_result(pg->requests.head, result);
		}
	}
}

static void read_notifications(struct pg *pg)
{
	bool any = false;
	PGnotify *notify;

	while (pg->conn && (notify = PQnotifies(pg->conn))) {
		any = true;
		PQfreemem(notify);
	}
	if (any && pg->state == PG_READY && pg->events.notified)
		pg->events.notified(pg->arg);
}

static void on_socket(void *arg, int fd, short revents)
{
	struct pg *pg = arg;

	(void)fd;
	if (pg->state == PG_CONNECTING) {
		advance_connect(pg);
		return;
	}
	if ((revents & ~POLLOUT) && !PQconsumeInput(pg->conn)) {
		read_results(pg);	/* what had arrived before the end still counts */
		if (pg->conn)
			connection_lost(pg);
		return;
	}
	read_results(pg);
	read_notifications(pg);
	if (pg->conn && PQstatus(pg->conn) == CONNECTION_BAD)
		connection_lost(pg);
	else if (pg->conn && pg->state != PG_CONNECTING && pg->state != PG_DOWN)
		flush(pg);
}

/* ---- all of it ---- */

struct pg *pg_new(struct loop *loop, const struct pg_options *options,
		  const struct pg_events *events, void *arg)
{
	struct pg *pg = xcalloc(1, sizeof(*pg));

	pg->loop = loop;
	pg->options = *options;
	pg->events = *events;
	pg->arg = arg;
	pg->watched_fd = -1;
	pgrequests_init(&pg->requests);
	pg->setup = (struct pgsetup){
		.session = options->session, .brief = options->brief, .listen = options->listen,
		.statements = options->statements, .nstatements = options->nstatements,
		.schema_version = options->schema_version, .done = on_set_up, .arg = pg,
	};
	pg->retry_ms = RETRY_FIRST_MS;
	pg->connect_ms = pgconnect_timeout_ms(options->conninfo);
	if (loop_timer_set(loop, &pg->timer, 0, pg_connect, pg) == -1)
		fatal("out of memory: cannot set a timer");
	return pg;
}

/* ---- the end ---- */

static bool is_owed_answers(const struct pg *pg)
{
	return pg->requests.head && pg->requests.head->sent_ms;
}

/* Nobody wants them any more. */
static void drop_answers(struct pg *pg)
{
	while (is_owed_answers(pg) && PQstatus(pg->conn) == CONNECTION_OK && !PQisBusy(pg->conn)) {
		PGresult *result = PQgetResult(pg->conn);

		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
			pgrequest_free(pgrequests_pop(&pg->requests));
		PQclear(result);
	}
}

/* False when the connection is of no use any more. */
static bool wait_for_answers(struct pg *pg, int64_t until)
{
	int64_t left;

	drop_answers(pg);
	while (is_owed_answers(pg) && (left = until - now_ms()) > 0) {
		struct pollfd p = { .fd = PQsocket(pg->conn), .events = POLLIN };

		if (PQflush(pg->conn) == 1)
			p.events |= POLLOUT;
		if (poll(&p, 1, (int)left) > 0 && !PQconsumeInput(pg->conn))
			return false;
		drop_answers(pg);
	}
	return PQstatus(pg->conn) == CONNECTION_OK;
}

/*
 * The server does not notice that its client has gone while it waits for a lock or a standby: what
 * is on its way is cancelled, one statement after the other, as each that went out is carried out.
 */
static void leave_nothing_behind(struct pg *pg)
{
	int64_t now = now_ms(), until = now + FAREWELL_MS;
	bool there = wait_for_answers(pg, now + FAREWELL_GRACE_MS);

	while (there && is_owed_answers(pg) && (now = now_ms()) < until) {
		pgcancel_send(pg->conn);
		there = wait_for_answers(pg, now + CANCEL_NEXT_MS);
	}
}

void pg_free(struct pg *pg)
{
	if (!pg)
		return;
	if (is_owed_answers(pg))
		leave_nothing_behind(pg);
	while (pg->requests.head)
		pgrequest_free(pgrequests_pop(&pg->requests));
	clean_up_connection(pg);
	free(pg);
}

bool pg_is_ready(const struct pg *pg)
{
	return pg->state == PG_READY;
}

struct pg_counts pg_counts(const struct pg *pg)
{
	struct pg_counts counts = pg->counts;

	counts.statements = pg->requests.sent;
	return counts;
}

int pg_backend_pid(const struct pg *pg)
{
	return PQbackendPID(pg->conn);
}
