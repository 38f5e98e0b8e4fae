/*
 * Cancel requests. Children only. A server process that waits for something of its own, such as a
 * synchronous standby, does not notice that its client has gone, and would stay for as long as it
 * waits: one more with each new connection.
 *
 * libpq can ask only by waiting, so a thread does it. There is one at a time: where the server
 * cannot be reached, what is lost is a thread that waits for TCP to give up, and no second one.
 */
#include "pgcancel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/log.h"

static atomic_flag under_way = ATOMIC_FLAG_INIT;

/* It logs nothing: whether it was of use shows on the connection itself. */
static void *send_request(void *arg)
{
	PGcancel *cancel = arg;
	char ignored[256];

	PQcancel(cancel, ignored, sizeof(ignored));
	PQfreeCancel(cancel);
	atomic_flag_clear(&under_way);
	return NULL;
}

/* Signals are for the process's loop, never for a thread. */
static int start_thread(void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_detach(thread);
	return error;
}

void pgcancel_send(PGconn *conn)
{
	PGcancel *cancel;

	if (atomic_flag_test_and_set(&under_way))
		return;
	cancel = PQgetCancel(conn);
	if (cancel && start_thread(send_request, cancel) == 0)
		return;
	log_debug("no request to cancel a statement could be sent");
	PQfreeCancel(cancel);
	atomic_flag_clear(&under_way);
}
