/* Places that claims pass, in the scoreboard: read, raised, ended. Workers; no locks, no SQL. */
#include "scoreboard/pass.h"

#include <string.h>

#include "base/saturate.h"

static bool is_on(uint64_t epoch)
{
	return epoch & 1;
}

bool pass_is_on(const struct scoreboard *sb)
{
	return is_on(atomic_load(&sb->passing.epoch));
}

void pass_add(struct floors *passes, const struct floor *to)
{
	floors_add_up_to(passes, to, PASSES_MAX);
	floors_raise(passes, to);
}

static void raise_all(struct floors *f, const struct shared_floors *s)
{
	for (int i = 0; i < s->n; i++)
		pass_add(f, &s->at[i]);
}

void pass_read(const struct scoreboard *sb, struct floors *out)
{
	struct shared_floors s;

	out->epoch = atomic_load(&sb->passing.epoch);
	out->n = 0;
	if (!is_on(out->epoch))
		return;
	for (int i = SLOT_FIRST_WORKER, n = scoreboard_slots(sb); i < n; i++)
		if (sb->slots[i].passes.epoch == out->epoch &&
		    shared_floors_read(&sb->slots[i].passes, &s) && s.epoch == out->epoch)
			raise_all(out, &s);
}

struct floor pass_behind(const struct floor *place)
{
	struct floor next = *place;

	for (int i = UUID_BYTES - 1; i >= 0; i--)
		if (++next.id[i] != 0)
			return next;
	next.available_at = sat_add(next.available_at, 1);	/* it was the last id there is */
	return next;
}

static uint64_t begin(struct scoreboard *sb)
{
	uint64_t epoch = atomic_load(&sb->passing.epoch);

	while (!is_on(epoch))
		if (atomic_compare_exchange_weak(&sb->passing.epoch, &epoch, epoch + 1))
			return epoch + 1;
	return epoch;
}

void pass_raise(struct scoreboard *sb, int slot, const struct floors *more)
{
	struct shared_floors *shared = &sb->slots[slot].passes;
	struct floors mine = { .epoch = begin(sb) };
	struct shared_floors before;

	if (shared_floors_read(shared, &before) && before.epoch == mine.epoch)
		raise_all(&mine, &before);
	for (int i = 0; i < more->n; i++)
		pass_add(&mine, &more->at[i]);
	shared_floors_write(shared, mine.epoch, mine.at, mine.n, 0);
	atomic_fetch_add(&sb->passing.raised, 1);
}

uint64_t pass_raised(const struct scoreboard *sb)
{
	return atomic_load(&sb->passing.raised);
}

/* A pass that is raised at the same moment may be lost: then its claim is refused once more. */
void pass_end(struct scoreboard *sb, uint64_t raised)
{
	uint64_t epoch = atomic_load(&sb->passing.epoch);

	if (is_on(epoch) && pass_raised(sb) == raised)
		atomic_compare_exchange_strong(&sb->passing.epoch, &epoch, epoch + 1);
}

/* ---- who walks ---- */

static uint64_t name_of(const struct scoreboard *sb, int slot)
{
	return (uint64_t)slot << 32 | (uint32_t)atomic_load(&sb->slots[slot].pid);
}

/* The slot of one that has died has no pid, or that of its next child. */
static bool is_alive(const struct scoreboard *sb, uint64_t walker)
{
	uint64_t slot = walker >> 32;

	return slot >= SLOT_FIRST_WORKER && slot < SLOT_PUBLISHER && (uint32_t)walker != 0 &&
	       walker == name_of(sb, (int)slot);
}

bool pass_take_walk(struct scoreboard *sb, int slot)
{
	uint64_t walker = atomic_load(&sb->passing.walker), me = name_of(sb, slot);

	if (walker == me)
		return true;
	return !is_alive(sb, walker) &&
	       atomic_compare_exchange_strong(&sb->passing.walker, &walker, me);
}

void pass_leave_walk(struct scoreboard *sb, int slot)
{
	uint64_t me = name_of(sb, slot);

	atomic_compare_exchange_strong(&sb->passing.walker, &me, 0);
}

void pass_walked(struct scoreboard *sb, uint64_t raised)
{
	atomic_store(&sb->passing.walked, raised);
}

bool pass_is_walked(const struct scoreboard *sb)
{
	return !pass_is_on(sb) || atomic_load(&sb->passing.walked) == pass_raised(sb);
}
