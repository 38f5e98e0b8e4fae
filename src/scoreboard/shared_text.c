/* Sequence locks and the texts under them, in shared memory; any process. It never waits. */
#include "scoreboard/shared_text.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define READ_TRIES 8

uint32_t seqlock_write_begin(_Atomic uint32_t *seq)
{
	uint32_t begun = atomic_load(seq) | 1;

	atomic_store(seq, begun);
	atomic_thread_fence(memory_order_seq_cst);
	return begun;
}

void seqlock_write_end(_Atomic uint32_t *seq, uint32_t begun)
{
	atomic_thread_fence(memory_order_seq_cst);
	atomic_store(seq, begun + 1);
}

bool seqlock_read_ok(const _Atomic uint32_t *seq, uint32_t before)
{
	atomic_thread_fence(memory_order_seq_cst);
	return !(before & 1) && atomic_load(seq) == before;
}

void shared_text_set(struct shared_text *t, const char *text)
{
	uint32_t begun = seqlock_write_begin(&t->seq);

	snprintf(t->text, sizeof(t->text), "%s", text);
	atomic_store(&t->wall_ms, wall_ms());
	seqlock_write_end(&t->seq, begun);
}

bool shared_text_get(const struct shared_text *t, char *out)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load(&t->seq);

		memcpy(out, t->text, SCOREBOARD_TEXT);
		out[SCOREBOARD_TEXT - 1] = '\0';
		if (seqlock_read_ok(&t->seq, before))
			return true;
	}
	out[0] = '\0';
	return false;
}
