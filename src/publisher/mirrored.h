/*
 * The sessions that the mirror has in mind: those that are open or ended a short while ago, and
 * those that are still to be shown. A table of limited size; it sends nothing and sets no timer.
 */
#ifndef MIRRORED_H
#define MIRRORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/uuid.h"

#define MIRRORED_MAX 10000
#define MIRRORED_BUCKETS 16384
#define MIRROR_EVERY_MS 1000		/* from one write of a session to the next */
#define MIRROR_WATCH_MS 300000		/* after its end, a session is watched */
#define MIRROR_ASIDE_MS 600000		/* until a session that was set aside is tried again */
#define MIRROR_ASIDE_AFTER 6		/* refusals in a row, over 15 s at least */

/* What is done about a session next. */
enum mirrored_step {
	MIRRORED_RESTS,			/* nothing; it is watched, if it is there */
	MIRRORED_NEW,			/* it is looked up whether it is in live_sessions */
	MIRRORED_TIMED,			/* its timer is set */
	MIRRORED_READY,			/* it is to be written, in turn */
	MIRRORED_ASKED,			/* its statement is on its way */
};

struct mirrored {
	unsigned char id[UUID_BYTES];
	struct mirrored *same;		/* the next one in the bucket */
	struct mirrored *before, *after;	/* in the list of all, in which the watch goes round */
	struct mirrored *next;		/* in the queue of new or ready ones */
	enum mirrored_step step;
	bool moved;			/* again, since its statement was sent */
	bool brief;			/* it ended long ago: not watched when it is shown */
	bool over;			/* as it was shown last */
	bool aside;			/* the table refuses it */
	int64_t live_xmin, counted_xmin;	/* of its rows, when it was shown last; 0: never */
	int64_t written_ms, ended_ms;	/* 0: never, and open */
	int64_t moved_ms;		/* when that was told last */
	int64_t not_before_ms;		/* the table was slow, locked, or refused it */
	int64_t refused_ms;		/* first of the refusals in a row */
	int refusals, locks;		/* in a row */
	struct loop_timer timer;
	void *owner;			/* for the timer's function */
};

struct mirrored_queue { struct mirrored *head, **tail; int n; };

struct mirrored_set {
	struct mirrored *buckets[MIRRORED_BUCKETS];
	struct mirrored *all;		/* a ring; NULL: none */
	struct mirrored *watched;	/* where the watch goes on; NULL: it begins anew */
	int n;
};

/* NULL when there is none. */
struct mirrored *mirrored_find(const struct mirrored_set *set, const unsigned char *id);
/* A new one, at rest; NULL when there is no room. */
struct mirrored *mirrored_add(struct mirrored_set *set, const unsigned char *id);
/* One that rests and ended first, of some; NULL: none does. */
struct mirrored *mirrored_evictable(const struct mirrored_set *set);
/* It must be in no queue, and its timer must be stopped. */
void mirrored_drop(struct mirrored_set *set, struct mirrored *m);

void mirrored_queue_init(struct mirrored_queue *q);
void mirrored_push(struct mirrored_queue *q, struct mirrored *m);
struct mirrored *mirrored_pop(struct mirrored_queue *q);	/* NULL when empty */

/* ---- when; pure ---- */

/* In how many ms it may be written: 0, now. */
int64_t mirrored_wait_ms(const struct mirrored *m, int64_t now_ms);
/*
 * It was refused once more, by a statement that took so long: when it is tried again. Returns
 * whether it is set aside by this.
 */
bool mirrored_refused(struct mirrored *m, int64_t took_ms, int64_t now_ms);
/* Its row is locked by others: when it is tried again. Returns whether that counts as a refusal. */
bool mirrored_locked(struct mirrored *m, int64_t now_ms);
/* It was shown, and the statement took so long. Returns whether it had been set aside. */
bool mirrored_shown(struct mirrored *m, bool over, int64_t took_ms, int64_t now_ms);
/* Nothing is to be done about it any more. */
bool mirrored_is_done(const struct mirrored *m, int64_t now_ms);

#endif
