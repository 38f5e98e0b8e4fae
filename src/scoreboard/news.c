/* The rings of sessions that have moved: one writer at each end, no lock. Workers, publisher. */
#include "scoreboard/news.h"

#include <string.h>

/*
 * A race that the order prevents: the publisher takes a session off before it asks the database
 * about it. So one that is still there will be asked about later than now, and need not be told
 * twice.
 */
void news_add(struct news *news, const unsigned char session[UUID_BYTES])
{
	uint32_t head = atomic_load(&news->head), tail = atomic_load(&news->tail);

	if (head != tail && memcmp(news->at[(head - 1) % NEWS_MAX], session, UUID_BYTES) == 0)
		return;
	if (head - tail >= NEWS_MAX) {
		atomic_fetch_add(&news->missed, 1);
		return;
	}
	memcpy(news->at[head % NEWS_MAX], session, UUID_BYTES);
	atomic_store(&news->head, head + 1);
}

void news_lost(struct news_desk *desk)
{
	atomic_fetch_add(&desk->lost, 1);
}

/* Counts that are further apart than the ring is long are nobody's, and it is empty. */
bool news_take(struct news *news, unsigned char session[UUID_BYTES])
{
	uint32_t head = atomic_load(&news->head), tail = atomic_load(&news->tail);

	if (head == tail)
		return false;
	if (head - tail > NEWS_MAX) {
		atomic_store(&news->tail, head);
		atomic_fetch_add(&news->missed, 1);
		return false;
	}
	memcpy(session, news->at[tail % NEWS_MAX], UUID_BYTES);
	atomic_store(&news->tail, tail + 1);
	return true;
}
