/*
 * The mirror: shows each session's progress and ratings in the application's own table, under the
 * keys that its pages read (grading_mirror() of migrations/functions.sql says what, and writes it).
 * Here is when: as soon as a session has moved, once a second and session at most, and again when
 * another writer's stale copy has dropped what was shown, as long as the session is open and some
 * minutes after. Runs in the publisher, one statement at a time, each about one session: what the
 * application's triggers, checks and locks do to it holds up no settlement, and other sessions no
 * longer than a statement may take. It sends nothing while nothing is open or to be shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "pg/pgbinary.h"
#include "scoreboard/trouble.h"
#include "channel.h"
#include "mirror_sweep.h"
#include "mirrored.h"

#define WATCH_EVERY_MS 800	/* so that keys are back within two seconds */
#define CHANGES_PAGE 1000	/* sessions that one look asks about */
#define NEW_MAX 4000		/* sessions to be looked up, beyond which a sweep waits */
#define PATIENCE_MS 11000	/* after a move, an open session may be over: grading_progress() */
#define TROUBLE_MS 5000		/* after a look that failed: it is not about one session */
#define MARK_EVERY_MS 30000	/* how often it is written down how far it has come */
#define STATUSES 4

/* Columns of sql/mirror.sql, and of sql/mirror_changes.sql. */
enum { MIRROR_OUTCOME, MIRROR_OVER, MIRROR_LIVE, MIRROR_COUNTED, MIRROR_USED, MIRROR_STATUS };
enum { CHANGES_PLACE, CHANGES_LIVE };

struct mirror {
	struct publishing *p;
	struct mirrored_set set;
	struct mirrored_queue fresh, ready;	/* to be looked up, and to be written */
	struct mirror_sweep sweep;
	bool busy;			/* a statement is on its way */
	int64_t sent_ms;
	struct mirrored *asked;		/* that it is about; NULL: it is about many */
	struct mirrored *looked[CHANGES_PAGE];	/* these */
	int nlooked;
	struct { char status[16], form[64]; bool known; } forms[STATUSES];
	bool complaining;		/* something is to be written into grading_mirrors: */
	unsigned char complaint_id[UUID_BYTES];
	char complaint[512];	/* why it is refused; "": it is no more */
	bool looked_up;			/* fresh ones, last time: then it is a ready one's turn */
	int64_t not_before_ms;		/* looks fail; until then nothing is sent */
	char trouble[512];		/* why; "": they do not */
	bool carried;			/* something, since the mark was written */
	bool full;			/* there was no room for a session; it is said once */
	struct loop_timer pump_timer, watch_timer, mark_timer;
};

static void pump(void *arg);

static void pump_soon(struct mirror *mi)
{
	if (!loop_timer_is_set(&mi->pump_timer))
		publishing_timer(mi->p, &mi->pump_timer, 0, pump, mi);
}

/* ---- what is to be done about a session ---- */

static void make_ready(struct mirror *mi, struct mirrored *m)
{
	m->step = MIRRORED_READY;
	mirrored_push(&mi->ready, m);
	pump_soon(mi);
}

static void on_due(void *arg)
{
	struct mirrored *m = arg;

	make_ready(m->owner, m);
}

/* While stopping nothing waits for its turn in the second, but for what was refused. */
static void want(struct mirror *mi, struct mirrored *m)
{
	int64_t wait = mirrored_wait_ms(m, now_ms());

	if (mi->p->stopping && !m->refusals && !m->locks)
		wait = 0;
	if (wait == 0) {
		make_ready(mi, m);
		return;
	}
	m->step = MIRRORED_TIMED;
	publishing_timer(mi->p, &m->timer, wait, on_due, m);
}

static void drop(struct mirror *mi, struct mirrored *m)
{
	loop_timer_stop(mi->p->loop, &m->timer);
	mirrored_drop(&mi->set, m);
}

static struct mirrored *add(struct mirror *mi, const unsigned char *session)
{
	struct mirrored *m = mirrored_add(&mi->set, session), *old;

	old = m ? NULL : mirrored_evictable(&mi->set);
	if (old) {
		drop(mi, old);
		m = mirrored_add(&mi->set, session);
	}
	if (!m) {
		if (!mi->full)
			log_warn("more than %d sessions are open at once; the mirror watches no "
				 "more, and shows the others as they move", MIRRORED_MAX);
		mi->full = true;
		return NULL;
	}
	m->owner = mi;
	m->step = MIRRORED_NEW;
	mirrored_push(&mi->fresh, m);
	pump_soon(mi);
	return m;
}

static void mirror_moved(void *channel, const unsigned char session[UUID_BYTES])
{
	struct mirror *mi = channel;
	struct mirrored *m = mirrored_find(&mi->set, session);

	if (!m)
		m = add(mi, session);
	if (!m)
		return;
	m->moved_ms = now_ms();
	m->brief = false;
	if (m->step == MIRRORED_ASKED)
		m->moved = true;
	else if (m->step == MIRRORED_RESTS)
		want(mi, m);
}

/* What was refused once is tried again, and said no second time. */
static void on_found(void *arg, const unsigned char *session, bool recent, bool refused)
{
	struct mirror *mi = arg;
	struct mirrored *m = mirrored_find(&mi->set, session);

	mi->carried = true;		/* or it will have been, when the mark is written */
	if (!m) {
		m = add(mi, session);
		if (m)
			m->brief = !recent;
	}
	if (!m || !refused || m->refusals)
		return;		/* else it is watched, or to be shown anyway */
	m->aside = true;
	if (m->step == MIRRORED_RESTS)
		want(mi, m);
}

static bool is_full(void *arg)
{
	const struct mirror *mi = arg;

	return mi->fresh.n + mi->ready.n >= NEW_MAX;
}

/* ---- looking whether sessions are there, and whether others have written them ---- */

static void answered(struct mirror *mi)
{
	mi->busy = false;
	mi->asked = NULL;
	pump_soon(mi);
}

/* Rests again, unless it moved meanwhile; forgotten when it ended long enough ago. */
static void rest(struct mirror *mi, struct mirrored *m)
{
	bool moved = m->moved;

	m->moved = false;
	m->step = MIRRORED_RESTS;
	if (moved)
		want(mi, m);
	else if (mirrored_is_done(m, now_ms()))
		drop(mi, m);
}

/* A right is missing, perhaps: said once, and tried again until an operator has seen to it. */
static void look_failed(struct mirror *mi, const struct err *err)
{
	if (err->kind == ERR_LOST)
		return;
	mi->not_before_ms = now_ms() + TROUBLE_MS;
	if (strcmp(mi->trouble, err->text) == 0)
		return;
	snprintf(mi->trouble, sizeof(mi->trouble), "%s", err->text);
	trouble_say(err->text);
	log_error("nothing is shown in live_sessions: %s; trying again every %d s; gradingctl doctor "
		  "says what to do", err->text, TROUBLE_MS / 1000);
}

static void look_succeeded(struct mirror *mi)
{
	if (mi->trouble[0])
		log_info("sessions are shown in live_sessions again");
	mi->trouble[0] = '\0';
}

static void on_changes(void *arg, const PGresult *result, const struct err *err)
{
	struct mirror *mi = arg;
	int n = mi->nlooked;

	mi->nlooked = 0;
	if (err)
		look_failed(mi, err);
	else
		look_succeeded(mi);
	for (int i = 0; !err && i < PQntuples(result); i++) {
		int place = pgvalue_int4(result, i, CHANGES_PLACE) - 1;
		struct mirrored *m = place >= 0 && place < n ? mi->looked[place] : NULL;

		if (!m)
			continue;
		mi->looked[place] = NULL;
		if (PQgetisnull(result, i, CHANGES_LIVE)) {
			drop(mi, m);
		} else {
			m->moved = false;
			want(mi, m);
		}
	}
	for (int i = 0; i < n; i++)
		if (mi->looked[i] && err && !mi->looked[i]->live_xmin) {
			mi->looked[i]->step = MIRRORED_NEW;
			mirrored_push(&mi->fresh, mi->looked[i]);
		} else if (mi->looked[i]) {
			rest(mi, mi->looked[i]);
		}
	answered(mi);
}

static void look_at(struct mirror *mi, struct buf *p, struct mirrored *m)
{
	m->step = MIRRORED_ASKED;
	mi->looked[mi->nlooked++] = m;
	pgitem_uuid_bytes(&p[0], m->id);
	pgitem_int8(&p[1], m->live_xmin);
	pgitem_int8(&p[2], m->counted_xmin);
}

static struct buf *begin_look(struct mirror *mi)
{
	struct buf *p = publishing_begin(mi->p);

	pgitems_begin(&p[0], PG_UUID);
	pgitems_begin(&p[1], PG_INT8);
	pgitems_begin(&p[2], PG_INT8);
	return p;
}

static void send_look(struct mirror *mi)
{
	mi->busy = true;
	if (!publishing_send(mi->p, STATEMENT_MIRROR_CHANGES, on_changes, mi))
		on_changes(mi, NULL, &(struct err){ .kind = ERR_LOST });
}

static void look_up_fresh(struct mirror *mi)
{
	struct buf *p = begin_look(mi);

	while (mi->fresh.head && mi->nlooked < CHANGES_PAGE)
		look_at(mi, p, mirrored_pop(&mi->fresh));
	send_look(mi);
}

/*
 * Goes round all sessions, a page at a time. A session that is open may be over without having
 * moved, when nothing follows that was announced: it is asked about once more.
 */
static bool watch_page(struct mirror *mi)
{
	struct mirrored *m = mi->set.watched ? mi->set.watched : mi->set.all, *next;
	int64_t now = now_ms();
	struct buf *p = begin_look(mi);

	for (bool end = !m; !end && mi->nlooked < CHANGES_PAGE; m = next) {
		next = m->after;
		end = next == mi->set.all;
		mi->set.watched = end ? NULL : next;
		if (m->step != MIRRORED_RESTS)
			continue;
		if (!m->over && m->moved_ms && now - m->moved_ms >= PATIENCE_MS) {
			m->moved_ms = 0;
			want(mi, m);
		} else if (mirrored_is_done(m, now)) {
			drop(mi, m);
			end = end || !mi->set.all;
		} else {
			look_at(mi, p, m);
		}
	}
	if (mi->nlooked > 0)
		send_look(mi);
	return mi->nlooked > 0;
}

static void on_watch(void *arg)
{
	pump_soon(arg);
}

/* Whether a round of the watch is due or under way. A timer that is set says when the next is. */
static bool watch_is_due(const struct mirror *mi)
{
	return mi->set.watched || !loop_timer_is_set(&mi->watch_timer);
}

/* ---- what the table refuses ---- */

static void complain(struct mirror *mi, struct mirrored *m, const char *text)
{
	mi->complaining = true;
	memcpy(mi->complaint_id, m->id, UUID_BYTES);
	snprintf(mi->complaint, sizeof(mi->complaint), "%s", text);
}

static void set_aside(struct mirror *mi, struct mirrored *m, const struct err *err)
{
	char id[UUID_SIZE];

	uuid_text(m->id, id);
	refused_put(&mi->p->slot->refused, "mirror", id, err, now_ms(), m->not_before_ms + 60000);
	slot_count(mi->p->slot, COUNTER_MIRROR_REFUSED, 1);
	trouble_say(err->text);
	log_warn("session %s cannot be shown in live_sessions: %s; it is left alone and tried again "
		 "every %d minutes; gradingctl doctor lists all such sessions",
		 id, err->text, MIRROR_ASIDE_MS / 60000);
	complain(mi, m, err->text);
}

static void refuse(struct mirror *mi, struct mirrored *m, const struct err *err)
{
	int64_t now = now_ms();
	bool anew = mirrored_refused(m, now - mi->sent_ms, now);
	char id[UUID_SIZE];

	uuid_text(m->id, id);
	log_debug("session %s is not shown: %s", id, err->text);
	if (anew)
		set_aside(mi, m, err);
	else if (m->aside)
		refused_put(&mi->p->slot->refused, "mirror", id, err, now_ms(),
			    m->not_before_ms + 60000);
	m->moved = false;
	want(mi, m);
}

static void accept(struct mirror *mi, struct mirrored *m)
{
	char id[UUID_SIZE];

	uuid_text(m->id, id);
	refused_drop(&mi->p->slot->refused, "mirror", id);
	log_info("session %s is shown in live_sessions again", id);
	complain(mi, m, "");
}

static void on_complained(void *arg, const PGresult *result, const struct err *err)
{
	struct mirror *mi = arg;

	(void)result;
	if (err && err->kind != ERR_LOST)
		log_error("%s; gradingctl doctor does not know of it", err->text);
	answered(mi);
}

static void send_complaint(struct mirror *mi)
{
	struct buf *p = publishing_begin(mi->p);

	buf_add(&p[0], (const char *)mi->complaint_id, UUID_BYTES);
	buf_str(&p[1], mi->complaint);
	mi->complaining = false;
	mi->busy = true;
	if (!publishing_send(mi->p, STATEMENT_MIRROR_REFUSED, on_complained, mi))
		answered(mi);
}

/* ---- writing ---- */

/* The form that the table took of this status last time; NULL: nothing is known of it. */
static const char *form_of(const struct mirror *mi, const char *status)
{
	for (int i = 0; i < STATUSES; i++)
		if (mi->forms[i].known && strcmp(mi->forms[i].status, status) == 0)
			return mi->forms[i].form;
	return NULL;
}

static void remember_form(struct mirror *mi, const char *status, const char *form)
{
	int at = 0;

	while (at < STATUSES - 1 && mi->forms[at].known && strcmp(mi->forms[at].status, status) != 0)
		at++;
	if (strlen(status) >= sizeof(mi->forms[at].status) ||
	    strlen(form) >= sizeof(mi->forms[at].form))
		return;		/* it is found anew each time */
	mi->forms[at].known = true;
	strcpy(mi->forms[at].status, status);
	strcpy(mi->forms[at].form, form);
}

static void shown(struct mirror *mi, struct mirrored *m, const PGresult *result, bool written)
{
	int64_t now = now_ms();

	m->live_xmin = pgvalue_int8(result, 0, MIRROR_LIVE);
	m->counted_xmin = pgvalue_int8(result, 0, MIRROR_COUNTED);
	if (written) {
		m->written_ms = mi->sent_ms;
		slot_count(mi->p->slot, COUNTER_MIRROR_WRITES, 1);
		remember_form(mi, PQgetvalue(result, 0, MIRROR_STATUS),
			      PQgetvalue(result, 0, MIRROR_USED));
	}
	mi->carried = true;
	if (mirrored_shown(m, pgvalue_bool(result, 0, MIRROR_OVER), now - mi->sent_ms, now))
		accept(mi, m);
	rest(mi, m);
}

static void locked(struct mirror *mi, struct mirrored *m)
{
	struct err err;

	if (mirrored_locked(m, now_ms())) {
		err_set(&err, ERR_RETRY, "its row is locked all the time, or may not be changed by "
			"us");
		refuse(mi, m, &err);
	} else {
		want(mi, m);
	}
}

static void forget(struct mirror *mi, struct mirrored *m)
{
	if (m->aside)
		complain(mi, m, "");
	drop(mi, m);
}

static void on_mirrored(void *arg, const PGresult *result, const struct err *err)
{
	struct mirror *mi = arg;
	struct mirrored *m = mi->asked;
	const char *outcome = err ? "" : PQgetvalue(result, 0, MIRROR_OUTCOME);

	if (err && err->kind == ERR_LOST)
		make_ready(mi, m);
	else if (err)
		refuse(mi, m, err);
	else if (strcmp(outcome, "written") == 0 || strcmp(outcome, "same") == 0)
		shown(mi, m, result, outcome[0] == 'w');
	else if (strcmp(outcome, "locked") == 0)
		locked(mi, m);
	else			/* "gone", "unknown": there is nothing to show, or nowhere */
		forget(mi, m);
	answered(mi);
}

static void write_next(struct mirror *mi)
{
	struct buf *p = publishing_begin(mi->p);
	struct mirrored *m = mirrored_pop(&mi->ready);
	const char *form = form_of(mi, m->over ? "completed" : "processing");

	m->step = MIRRORED_ASKED;
	m->moved = false;
	buf_add(&p[0], (const char *)m->id, UUID_BYTES);
	buf_str(&p[1], form ? form : "");
	mi->asked = m;
	mi->busy = true;
	mi->sent_ms = now_ms();
	if (!publishing_send(mi->p, STATEMENT_MIRROR, on_mirrored, mi))
		on_mirrored(mi, NULL, &(struct err){ .kind = ERR_LOST });
}

/* ---- how far it has come ---- */

static void on_marked(void *arg, const PGresult *result, const struct err *err)
{
	(void)result;
	if (err && err->kind != ERR_LOST)
		log_error("%s; trying again", err->text);
	answered(arg);
}

/* Whatever moved before a minute ago has been carried: nothing else waits so long in here. */
static bool mark_is_due(const struct mirror *mi)
{
	return mi->carried && !loop_timer_is_set(&mi->mark_timer) && !mi->fresh.head &&
	       !mi->ready.head && mirror_sweep_rests(&mi->sweep);
}

static void on_mark_time(void *arg)
{
	pump_soon(arg);
}

static void mark(struct mirror *mi)
{
	publishing_begin(mi->p);
	mi->carried = false;
	publishing_timer(mi->p, &mi->mark_timer, MARK_EVERY_MS, on_mark_time, mi);
	mi->busy = true;
	if (!publishing_send(mi->p, STATEMENT_CAUGHT_UP, on_marked, mi))
		answered(mi);
}

/* ---- one statement at a time ---- */

static bool watch(struct mirror *mi)
{
	if (!mi->set.watched)
		publishing_timer(mi->p, &mi->watch_timer, WATCH_EVERY_MS, on_watch, mi);
	return watch_page(mi);
}

static void pump(void *arg)
{
	struct mirror *mi = arg;

	int64_t wait = mi->not_before_ms - now_ms();

	if (mi->busy || !pg_is_ready(mi->p->pg))
		return;
	if (wait > 0) {
		publishing_timer(mi->p, &mi->pump_timer, wait, pump, mi);
		return;
	}
	if (mi->set.n > 0 && watch_is_due(mi) && watch(mi))
		return;
	mi->looked_up = mi->fresh.head && !(mi->looked_up && mi->ready.head);
	if (mi->complaining)
		send_complaint(mi);
	else if (mi->looked_up)
		look_up_fresh(mi);
	else if (mi->ready.head)
		write_next(mi);
	else if (mark_is_due(mi))
		mark(mi);
}

/* ---- the channel ---- */

static void *mirror_open(struct publishing *p)
{
	struct mirror *mi = xcalloc(1, sizeof(*mi));

	mi->p = p;
	mirrored_queue_init(&mi->fresh);
	mirrored_queue_init(&mi->ready);
	mirror_sweep_init(&mi->sweep, p);
	mi->sweep.found = on_found;
	mi->sweep.is_full = is_full;
	mi->sweep.arg = mi;
	return mi;
}

static void mirror_ready(void *channel)
{
	struct mirror *mi = channel;

	mirror_sweep_want(&mi->sweep, true);
	pump_soon(mi);
}

static void mirror_look(void *channel)
{
	struct mirror *mi = channel;

	mirror_sweep_want(&mi->sweep, false);
}

static bool mirror_is_idle(void *channel)
{
	struct mirror *mi = channel;
	struct mirrored *m = mi->set.all;

	for (int i = 0; i < mi->set.n; i++, m = m->after)
		if (m->step == MIRRORED_TIMED && !m->refusals && !m->locks) {
			loop_timer_stop(mi->p->loop, &m->timer);
			make_ready(mi, m);
		}
	return !mi->busy && !mi->fresh.head && !mi->ready.head && !mi->complaining &&
	       mirror_sweep_rests(&mi->sweep);
}

static void mirror_close(void *channel)
{
	struct mirror *mi = channel;

	mirror_sweep_end(&mi->sweep);
	loop_timer_stop(mi->p->loop, &mi->pump_timer);
	loop_timer_stop(mi->p->loop, &mi->watch_timer);
	loop_timer_stop(mi->p->loop, &mi->mark_timer);
	while (mi->set.all)
		drop(mi, mi->set.all);
	free(mi);
}

const struct channel_ops mirror_channel = {
	.name = "mirror", .bit = CHANNEL_MIRROR,
	.open = mirror_open, .ready = mirror_ready, .moved = mirror_moved, .look = mirror_look,
	.is_idle = mirror_is_idle, .close = mirror_close,
};
