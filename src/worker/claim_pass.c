/* What claims pass. Runs in workers; the passes are in the scoreboard, for all of the host. */
#include "claim_pass.h"

#include <limits.h>

#include "base/invariant.h"
#include "base/log.h"
#include "scoreboard/pass.h"

#define LEAST 16		/* places passed when a claim is refused; but */
#define SHARE 4			/* a quarter of those passed in a row before, so that few others */
#define MOST 8192		/* are among them, and at most so many */
#define ENOUGH 40		/* claims refused in a row */

static struct scoreboard *board(const struct claim_pass *p)
{
	return context_scoreboard(p->ctx);
}

static int between(int least, int n, int most)
{
	if (n < least)
		return least;
	return n < most ? n : most;
}

int claim_pass_refused(struct claim_pass *p, int asked, const struct err *err)
{
	int n = p->in_row / SHARE;

	p->refusal = *err;
	p->refusals++;
	return between(LEAST, n > asked ? n : asked, MOST);
}

bool claim_pass_is_enough(const struct claim_pass *p)
{
	return p->refusals > ENOUGH;
}

/* The place behind the last one of each class. */
static void add(struct floors *passes, const struct floor *place)
{
	struct floor behind = pass_behind(place);

	pass_add(passes, &behind);
}

static void raise_passes(struct claim_pass *p, const struct floors *passes, const char *why)
{
	if (passes->n == 0)
		return;
	if (!pass_is_on(board(p)))
		log_warn("%s; others are claimed before these jobs, which are tried one by one",
			 why);
	pass_raise(board(p), p->ctx->child->index, passes);
}

void claim_pass_peeked(struct claim_pass *p, const PGresult *places)
{
	struct floors passes = { .n = 0 };
	struct floor place;
	int n = PQntuples(places);

	for (int i = 0; i < n; i++) {
		queue_place(places, i, &place);
		add(&passes, &place);
	}
	p->in_row = between(0, p->in_row, INT_MAX - n) + n;
	raise_passes(p, &passes, p->refusal.text);
}

int claim_pass_over(struct claim_pass *p, const PGresult *rows)
{
	struct floors passes = { .n = 0 };
	struct claimed_row row;
	int n = 0;

	for (int i = 0; i < PQntuples(rows); i++) {
		queue_claimed_row(rows, i, &row);
		if (!row.passed_over)
			continue;
		add(&passes, &row.place);
		n++;
	}
	raise_passes(p, &passes, "jobs are too large to be claimed along with others, or a trigger "
		     "on grading_jobs keeps them from being claimed");
	return n;
}

void claim_pass_brought(struct claim_pass *p)
{
	p->refusals = p->in_row = 0;
}

void claim_pass_init(struct claim_pass *p, const struct context *ctx)
{
	*p = (struct claim_pass){ .ctx = ctx };
}

void claim_pass_check(const struct claim_pass *p)
{
	INVARIANT(p->refusals >= 0);
	INVARIANT(p->in_row >= 0);
}
