/*
 * How many jobs a worker has room for: by the calls it may have in flight, or the batches that a
 * rater which answers at once takes, and by how many workers are busy already. It keeps nothing.
 */
#ifndef WORKER_CLAIM_ROOM_H
#define WORKER_CLAIM_ROOM_H

#include "claim_size.h"
#include "claim_txn.h"
#include "context.h"
#include "dispatch.h"
#include "joblist.h"
#include "permits.h"
#include "reclaim.h"
#include "settler.h"

/* What a claimer works with; all of it outlives the claimer. */
struct claimer_parts {
	struct joblist *jobs;
	struct claim_txn *txn;
	struct settler *settler;
	struct dispatch *dispatch;
	struct permits *permits;
	const struct reclaim *reclaim;
	struct claim_size *size;
};

/* Jobs that may be claimed now for this rater, 0 or less: none. deep: as in
 * struct claimer. */
int claim_room(const struct context *ctx, const struct claimer_parts *with,
	       const struct rater *rater, bool deep);

/* So many workers before this one keep the processors busy that it should claim nothing for now. */
bool claim_room_crowded(const struct context *ctx, struct claim_size *size, int64_t now_ms);

#endif
