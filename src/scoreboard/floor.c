/*
 * Claim floors in the scoreboard: read, raised, renewed, forgotten. Children only; no locks, no
 * SQL.
 */
#include "scoreboard/floor.h"

#include <string.h>

#include "base/saturate.h"

#define READ_TRIES 4
/*
 * What a look adds to the epoch. Forgetting adds 1, so that it never makes an epoch that a look has
 * begun.
 */
#define LOOK (UINT64_C(1) << 32)

bool floor_same_class(const struct floor *a, const struct floor *b)
{
	return a->priority == b->priority && a->turn == b->turn;
}

bool floor_class_before(const struct floor *a, const struct floor *b)
{
	return a->priority > b->priority || (a->priority == b->priority && a->turn > b->turn);
}

int floor_compare(const struct floor *a, const struct floor *b)
{
	if (a->available_at != b->available_at)
		return a->available_at < b->available_at ? -1 : 1;
	return memcmp(a->id, b->id, sizeof(a->id));
}

bool floors_has(const struct floors *f, const struct floor *place)
{
	for (int i = 0; i < f->n; i++)
		if (floor_same_class(&f->at[i], place))
			return true;
	return false;
}

void floors_raise(struct floors *f, const struct floor *claimed)
{
	for (int i = 0; i < f->n; i++)
		if (floor_same_class(&f->at[i], claimed) && floor_compare(&f->at[i], claimed) < 0)
			f->at[i] = *claimed;
}

void shared_floors_write(struct shared_floors *s, uint64_t epoch, const struct floor *at, int n,
			 int64_t now)
{
	uint32_t seq = seqlock_write_begin(&s->seq);

	s->epoch = epoch;
	s->renewed_ms = now;
	s->n = n;
	memcpy(s->at, at, (size_t)n * sizeof(*at));
	seqlock_write_end(&s->seq, seq);
}

/*
 * False when the writer was inside, or died there: its floors are then left out, which is never
 * wrong.
 */
bool shared_floors_read(const struct shared_floors *s, struct shared_floors *out)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load(&s->seq);

		memcpy(out, s, sizeof(*out));
		if (seqlock_read_ok(&s->seq, before))
			return out->n >= 0 && out->n <= PASSES_MAX;
	}
	return false;
}

void floors_read(const struct scoreboard *sb, int64_t now, int64_t max_age_ms, struct floors *out)
{
	struct shared_floors s;

	out->epoch = atomic_load(&sb->floors_epoch);
	out->n = 0;
	if (!shared_floors_read(&sb->slots[SLOT_JANITOR].floors, &s) || s.epoch != out->epoch ||
	    sat_sub(now, s.renewed_ms) > max_age_ms)
		return;
	out->n = s.n;
	memcpy(out->at, s.at, sizeof(out->at));
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(sb); i < n; i++) {
		const struct shared_floors *theirs = &sb->slots[i].floors;

		if (theirs->epoch != out->epoch || !shared_floors_read(theirs, &s) ||
		    s.epoch != out->epoch)
			continue;
		for (int k = 0; k < s.n; k++)
			floors_raise(out, &s.at[k]);
	}
}

void floors_publish(struct slot *slot, const struct floors *f)
{
	shared_floors_write(&slot->floors, f->epoch, f->at, f->n, 0);
}

void floors_add(struct floors *f, const struct floor *more)
{
	floors_add_up_to(f, more, FLOORS_MAX);
}

void floors_add_up_to(struct floors *f, const struct floor *more, int max)
{
	int i = 0;

	while (i < f->n && floor_class_before(&f->at[i], more))
		i++;
	if (f->n >= max || (i < f->n && floor_same_class(&f->at[i], more)))
		return;
	memmove(&f->at[i + 1], &f->at[i], (size_t)(f->n - i) * sizeof(*more));
	f->at[i] = *more;
	f->n++;
}

void floors_renew(struct scoreboard *sb, uint64_t epoch, const struct floors *found, int64_t now)
{
	shared_floors_write(&sb->slots[SLOT_JANITOR].floors, epoch + LOOK, found->at, found->n,
			    now);
	atomic_compare_exchange_strong(&sb->floors_epoch, &epoch, epoch + LOOK);
}

void floors_forget(struct scoreboard *sb)
{
	atomic_fetch_add(&sb->floors_epoch, 1);
}
