/* The outcomes' names, words and counters. Any process; it touches no shared memory. */
#include "scoreboard/outcome.h"

static const struct { const char *name, *words; enum counter counter; } outcomes[] = {
#define X(id, name, counter, words) { name, words, counter },
	OUTCOMES(X)
#undef X
};

const char *outcome_name(enum outcome o)
{
	return outcomes[o].name;
}

const char *outcome_words(enum outcome o)
{
	return outcomes[o].words;
}

enum counter outcome_counter(enum outcome o)
{
	return outcomes[o].counter;
}
