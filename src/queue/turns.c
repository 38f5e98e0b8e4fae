/* Whose turn it is. Runs in workers; it knows nothing of SQL, and asks nobody. */
#include "queue/turns.h"

#include "base/invariant.h"

#define TURN_STEP 4			/* of `turn`, from one tenant to the next */
#define UNIT (INT64_C(1) << 20)		/* what one job is worth, with a weight of 1 */

/*
 * With work in all bands, of twelve jobs eight are among the first of their session, three among
 * the next and one is of the rest.
 */
static const int64_t band_weights[TURN_BANDS] = { 8, 3, 1 };

void turns_init(struct turns *t)
{
	*t = (struct turns){ .n = 1, .of = { { .weight = 1 } } };
}

int turn_band(int32_t turn)
{
	int64_t band = turn < 0 ? -(int64_t)turn % TURN_STEP : 0;

	return band < TURN_BANDS ? (int)band : TURN_BANDS - 1;
}

int32_t turn_tenant(int32_t turn)
{
	return turn < 0 ? (int32_t)(-(int64_t)turn / TURN_STEP) : 0;
}

/* A tenant's bands lie side by side; a step has room for one more, which no job has. */
bool turns_between(int32_t low, int32_t high)
{
	int64_t n = (int64_t)high - low - 1;

	return n > 1 || (n == 1 && low < 0 && -(int64_t)(low + 1) % TURN_STEP < TURN_BANDS);
}

/* Those for whom there is no room share that of no tenant. */
static int find(const struct turns *t, int32_t tenant)
{
	for (int i = 0; i < t->n; i++)
		if (t->of[i].tenant == tenant)
			return i;
	return 0;
}

static struct turn_share *find_or_add(struct turns *t, int32_t tenant)
{
	int i = find(t, tenant);

	if (t->of[i].tenant == tenant || t->n == TURN_SHARES)
		return &t->of[i];
	t->of[t->n] = (struct turn_share){ .tenant = tenant, .weight = 1, .had = t->least };
	return &t->of[t->n++];
}

void turns_know(struct turns *t, const struct floors *classes)
{
	for (int i = 0; i < classes->n; i++)
		find_or_add(t, turn_tenant(classes->at[i].turn));
}

void turns_weigh(struct turns *t, int32_t tenant, int32_t weight)
{
	struct turn_share *share = find_or_add(t, tenant);

	if (share->tenant == tenant)
		share->weight = weight > 1 ? weight : 1;
}

/* A band of a share, and where its turn comes among those of the same priority. */
struct place {
	const struct turn_share *share;
	int band;
};

static struct place place_of(const struct turns *t, int32_t turn)
{
	return (struct place){ &t->of[find(t, turn_tenant(turn))], turn_band(turn) };
}

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_places(struct place a, struct place b)
{
	int by = compare(a.share->had, b.share->had);

	if (by == 0)
		by = compare(a.share->tenant, b.share->tenant);
	if (by == 0)
		by = compare(a.share->bands[a.band].had, b.share->bands[b.band].had);
	return by ? by : compare(a.band, b.band);
}

static bool comes_before(const struct turns *t, const struct floor *a, const struct floor *b)
{
	return compare_places(place_of(t, a->turn), place_of(t, b->turn)) < 0;
}

void turns_order(const struct turns *t, const struct floor *classes, int n, int *order)
{
	for (int i = 0; i < n; i++) {
		int at = i;

		for (; at > 0 && comes_before(t, &classes[i], &classes[order[at - 1]]); at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

bool turns_is_deep(const struct turns *t, const struct floor *of)
{
	struct place place = place_of(t, of->turn);
	const struct turn_band *band = &place.share->bands[place.band];

	return band->deep && band->deep_at == of->priority;
}

void turns_brought(struct turns *t, const struct floor *place)
{
	struct turn_share *share = find_or_add(t, turn_tenant(place->turn));
	struct turn_band *band = &share->bands[turn_band(place->turn)];

	if (band->brought == 0 || place->priority < band->priority)
		band->priority = place->priority;
	band->brought++;
}

/* Whether `a` was asked after `b` in the claim that brought something of both. */
static bool was_later(struct place a, struct place b)
{
	int32_t of_a = a.share->bands[a.band].priority, of_b = b.share->bands[b.band].priority;

	return of_a != of_b ? of_a < of_b : compare_places(a, b) > 0;
}

/* Where the claim ended: the last place, in its order, that it brought anything of; or NULL. */
static struct place find_last(const struct turns *t)
{
	struct place last = { NULL, 0 };

	for (int i = 0; i < t->n; i++)
		for (int b = 0; b < TURN_BANDS; b++) {
			struct place at = { &t->of[i], b };

			if (at.share->bands[b].brought > 0 && (!last.share || was_later(at, last)))
				last = at;
		}
	return last;
}

/* What comes before the end of a full claim has nothing more; of what comes behind nobody knows. */
static void learn_depth(struct turns *t, bool full)
{
	struct place last = find_last(t);

	for (int i = 0; i < t->n; i++)
		for (int b = 0; b < TURN_BANDS; b++) {
			struct place at = { &t->of[i], b };
			int by = full && last.share ? compare_places(at, last) : -1;
			struct turn_band *band = &t->of[i].bands[b];

			if (by <= 0)
				band->deep = by == 0;
			if (by == 0)
				band->deep_at = band->priority;
		}
}

static int64_t brought_of(const struct turn_share *share)
{
	int64_t n = 0;

	for (int b = 0; b < TURN_BANDS; b++)
		n += share->bands[b].brought;
	return n;
}

static void charge_bands(struct turn_share *share)
{
	int64_t least = INT64_MAX;

	for (int b = 0; b < TURN_BANDS; b++)
		if (share->bands[b].brought > 0 && share->bands[b].had < least)
			least = share->bands[b].had;
	for (int b = 0; b < TURN_BANDS; b++) {
		struct turn_band *band = &share->bands[b];

		if (band->had < least)
			band->had = least;
		band->had += band->brought * UNIT / band_weights[b];
		band->brought = 0;
	}
}

/*
 * Whoever stands below the least of those that brought anything was asked before them and had
 * nothing: it goes on from there, and has saved up nothing.
 */
void turns_charge(struct turns *t)
{
	int64_t least = INT64_MAX;

	for (int i = 0; i < t->n; i++)
		if (brought_of(&t->of[i]) > 0 && t->of[i].had < least)
			least = t->of[i].had;
	if (least == INT64_MAX)
		return;
	t->least = least;
	for (int i = 0; i < t->n; i++) {
		struct turn_share *share = &t->of[i];
		int64_t n = brought_of(share);

		if (share->had < least)
			share->had = least;
		share->had += n * UNIT / share->weight;
		if (n > 0)
			charge_bands(share);
	}
}

void turns_told(struct turns *t, bool full)
{
	learn_depth(t, full);
	turns_charge(t);
	t->known_first = !t->known_first;
}

void turns_check(const struct turns *t)
{
	INVARIANT(t->n >= 1 && t->n <= TURN_SHARES);
	INVARIANT(t->of[0].tenant == 0);
	for (int i = 0; i < t->n; i++) {
		INVARIANT(t->of[i].weight >= 1);
		for (int b = 0; b < TURN_BANDS; b++)
			INVARIANT(t->of[i].bands[b].brought == 0);
	}
}
