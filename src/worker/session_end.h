/* Sessions that may be over by what this worker has settled, and jobs that wait for that. */
#ifndef SESSION_END_H
#define SESSION_END_H

#include "base/uuid.h"
#include "context.h"

#define SESSION_ENDS_MAX 256	/* noted at a time; what waits for others looks by itself */

struct session_end {
	const struct context *ctx;
	void (*on_due)(void *arg);	/* jobs have become due */
	void *arg;
	char sessions[SESSION_ENDS_MAX][UUID_SIZE];	/* n of them, to be asked about */
	int n;
	bool under_way;			/* the database is being asked */
};

void session_end_init(struct session_end *e, const struct context *ctx,
		      void (*on_due)(void *arg), void *arg);
/* A job that grades its session as a whole was put back, to be looked at in delay_ms. */
void session_end_waits(const struct session_end *e, int64_t delay_ms);
/* A batch of this session has ended. Costs nothing while no job of this host's pool waits. */
void session_end_note(struct session_end *e, const char *session_id);
/* Asks about what was noted; not while a transaction is open. */
void session_end_turn(struct session_end *e);
/* Nothing is to be asked, and nothing is under way. */
bool session_end_is_quiet(const struct session_end *e);
/* For --once: ms until a job that waits is looked at, where that is soon; else 0. */
int64_t session_end_soon_ms(const struct session_end *e, int64_t now_ms);
void session_end_check(const struct session_end *e);

#endif
