/*
 * Which provenances there are, and which of them the database is known to have. Runs in workers; it
 * sends nothing. A worker meets a handful, so the table is small; one that is pushed out of it is
 * sent once more, which is harmless.
 */
#include "provenances.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fnv.h"
#include "lib/uuid5.h"

#define SLOTS 64

enum state { UNKNOWN, SENT, STORED };

struct provenance {
	char *document;			/* NULL: a free slot */
	unsigned char id[UUID_BYTES];
	enum state state;
	bool listed;			/* it goes along with the statement that is being packed */
};

struct provenances {
	struct provenance slots[SLOTS];
	const char *last;		/* the text that was asked for last, in this statement */
	struct provenance *found;	/* and what it was */
	bool any_new;
};

struct provenances *provenances_new(void)
{
	return xcalloc(1, sizeof(struct provenances));
}

void provenances_free(struct provenances *all)
{
	for (int i = 0; i < SLOTS; i++)
		free(all->slots[i].document);
	free(all);
}

void provenances_begin(struct provenances *all)
{
	all->last = NULL;
	all->any_new = false;
	for (int i = 0; i < SLOTS; i++)
		all->slots[i].listed = false;
}

/* A name (RFC 9562, 5.5) in a namespace of our own. */
static void compute_id(const char *document, unsigned char id[UUID_BYTES])
{
	static const unsigned char namespace[UUID_BYTES] = {
		0xc3, 0x1d, 0x5e, 0x0b, 0x94, 0x27, 0x4a, 0x6e,
		0x8f, 0x52, 0x70, 0x16, 0xd9, 0xae, 0x3b, 0x84,
	};
	char text[UUID_SIZE];

	uuid5_make(namespace, document, strlen(document), text);
	uuid_bytes(text, id);
}

static struct provenance *find(struct provenances *all, const char *document)
{
	struct provenance *p = &all->slots[fnv32_place(fnv32_text(document), SLOTS)];

	if (p->document && strcmp(p->document, document) == 0)
		return p;
	free(p->document);
	*p = (struct provenance){ .document = xstrdup(document), .state = UNKNOWN };
	compute_id(document, p->id);
	return p;
}

const unsigned char *provenances_id(struct provenances *all, const char *document, bool *new)
{
	struct provenance *p = all->found;

	if (document != all->last)
		p = find(all, document);
	all->last = document;
	all->found = p;
	*new = p->state != STORED && !p->listed;
	p->listed = true;
	all->any_new |= *new;
	return p->id;
}

bool provenances_any_new(const struct provenances *all)
{
	return all->any_new;
}

void provenances_sent(struct provenances *all)
{
	for (int i = 0; i < SLOTS; i++)
		if (all->slots[i].listed && all->slots[i].state == UNKNOWN)
			all->slots[i].state = SENT;
}

void provenances_settled(struct provenances *all, bool stored)
{
	for (int i = 0; i < SLOTS; i++)
		if (all->slots[i].state == SENT)
			all->slots[i].state = stored ? STORED : UNKNOWN;
}

void provenances_forget(struct provenances *all)
{
	for (int i = 0; i < SLOTS; i++)
		all->slots[i].state = UNKNOWN;
}
