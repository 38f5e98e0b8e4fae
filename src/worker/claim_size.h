/*
 * How much a worker claims at a time: by the depth of the queue, the size of its jobs, and how many
 * workers are busy already. Pure: times and counts are passed in.
 */
#ifndef WORKER_CLAIM_SIZE_H
#define WORKER_CLAIM_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * With a rater that answers at once a claim takes so many batches, at most. Measured with batches
 * of 64: factors of 4, 8 and 16 are equally fast; more keeps ratings back for longer.
 */
#define CLAIM_FACTOR_MAX 8
/*
 * From this factor on, two claims in a row having come back full, looking up and entering cost more
 * than rating.
 */
#define CLAIM_FACTOR_PAST_CACHE 4

struct claim_size {
	int factor;		/* batches in the next claim */
	int factor_max;		/* no more than that, going by how long the server took */
	int64_t job_bytes;	/* of job_data in a job, going by what was claimed before */
	bool grown;		/* its memory is that of a deep queue */
	uint64_t done_before;	/* jobs that workers in the slots before this one had completed */
	int64_t got_on_ms;	/* when done_before last grew */
};

void claim_size_init(struct claim_size *s);

/* A claim brought n jobs, more than 0, with so many bytes of job_data in all. */
void claim_size_learn(struct claim_size *s, int n, int64_t bytes);

/*
 * A claim of `asked` jobs, in batches of claim_batch, was answered, in full or not: the deeper the
 * queue the larger the next one, since a statement's price is mostly not that of its rows.
 */
void claim_size_adapt(struct claim_size *s, bool full, int asked, int64_t bytes,
		      int64_t claim_batch);

/*
 * The server took so long over a claim and its settlement: slow ones, and those many share, get
 * smaller bites.
 */
void claim_size_took(struct claim_size *s, int64_t took_ms);
void claim_size_halve(struct claim_size *s);

/* n jobs, but no more than one claim should fetch in bytes; n > 0 stays > 0. */
int claim_size_cap(const struct claim_size *s, int n);

/*
 * The cache spares calls. A rater that answers at once has none to spare, and rates a line for a
 * small part of what looking it up and entering it costs: it keeps the cache only while there is
 * time for that.
 */
bool claim_size_pays_to_cache(const struct claim_size *s, int64_t cache_ttl_ms, bool instant);

/*
 * With a rater that answers at once a worker keeps processors busy, its own and the server's: more
 * workers than there are processors for only walk past each other's jobs. Whether this one is too
 * many, when so many before it are busy and have completed `done` jobs in all. While they do not
 * get on, it is not: they may be held up, all of them.
 */
bool claim_size_over_subscribed(struct claim_size *s, int busy, int64_t processors, uint64_t done,
				int64_t now_ms);

/*
 * The queue is empty and nothing is in hand: whether memory should go back to the system. True
 * once.
 */
bool claim_size_shrink(struct claim_size *s);

void claim_size_check(const struct claim_size *s);

#endif
