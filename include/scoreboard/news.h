/*
 * Sessions that have moved, on their way from the workers to the publisher: a ring a worker, in its
 * slot. The worker adds, the publisher takes away; neither waits for the other. What finds no room
 * is counted as missed, and the publisher looks in the tables for it.
 */
#ifndef NEWS_H
#define NEWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"

/* What there is to publish, as bits of scoreboard.channels: 1u << CHANNEL_... */
enum channel { CHANNEL_MIRROR, CHANNEL_WEBHOOKS, CHANNEL_COUNT };

#define NEWS_MAX 512

/* Zeroed: empty. at[i % NEWS_MAX] holds the i-th from tail to head. */
struct news {
	_Atomic uint32_t head;		/* moved by the worker */
	_Atomic uint32_t tail;		/* moved by the publisher */
	_Atomic uint32_t missed;	/* how many found no room; the worker's */
	unsigned char at[NEWS_MAX][UUID_BYTES];
};

/* The publisher's side. */
struct news_desk {
	_Atomic uint32_t sleeping;	/* the publisher's: it wants to be woken by the next news */
	_Atomic uint32_t lost;		/* any process's: how often news may have died with a child */
	_Atomic uint32_t elsewhere;	/* the janitor's: how often others have moved sessions */
};

/*
 * Worker: this session has moved, and what moved it is committed. Said once while the publisher
 * has not taken it yet.
 */
void news_add(struct news *news, const unsigned char session[UUID_BYTES]);
/* Publisher: takes the oldest; false when there is none. */
bool news_take(struct news *news, unsigned char session[UUID_BYTES]);

/* Any process: somebody died who may have moved sessions and told nobody. */
void news_lost(struct news_desk *desk);

#endif
