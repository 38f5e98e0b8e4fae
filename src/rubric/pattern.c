/*
 * Finds a coach's phrases in a line of talk; any process, no state between lines. The distinct
 * words of all phrases ("atoms") are in one hash table, so that a word of talk is looked up once,
 * and only the phrases anchored to it are tried: each phrase is anchored to one of its words,
 * chosen so that no atom has many. An atom's parent is the next shorter "prefix*", which its words
 * match as well.
 *
 * patterns_seal() lays the phrases of an atom side by side. Most of them are passed over, and to
 * follow links to them cost more than all else. Each has a filter on another of its words: atoms
 * are reduced to one of 32 bits, a word of talk has two or three of them, and without a common bit
 * the phrase cannot match.
 */
#include "rubric/pattern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define GAP_WORDS 3	/* the most that "..." skips */
#define GAPS_CAP 2	/* in one phrase: each multiplies the ways to match it */
#define SHORT_WORD 4	/* bytes */
#define PAIRS 1024	/* of letters, as far as five bits tell them apart */
#define BUCKETS 4096	/* a power of two, some times the atoms of a large rubric */

struct atom {
	char text[WORD_CAP_BYTES + 1];
	uint8_t len;
	bool prefix, opener;
	uint32_t hash;
	uint32_t parent;		/* 0: none */
	uint32_t bits;			/* of itself and its parents, for filters */
	uint32_t next;			/* in the same bucket */
	uint32_t first, nphrases;	/* those anchored to it, in patterns.anchored */
};
struct link { uint32_t atom, phrase; };

enum element_kind { ELEMENT_WORD, ELEMENT_ANY, ELEMENT_GAP };
struct element { enum element_kind kind; uint32_t choice, nchoices; };
struct phrase {
	uint32_t element;
	uint32_t filter;		/* bits; the word at filter_at has one of them */
	uint16_t list;
	uint8_t nelements;
	uint8_t anchor;			/* the element whose atoms it is anchored to */
	int8_t filter_at;		/* words from the anchor to that of the filter */
	bool opens, asks;
};

/* A growing array of T; index 0 of atoms and links means none. */
#define ARRAY(T) struct { T *at; uint32_t n, size; }
#define PUSH(array) ((array).at = with_room((array).at, &(array).size, (array).n, \
					    sizeof(*(array).at)), &(array).at[(array).n++])

struct patterns {
	ARRAY(struct atom) atoms;	/* the first are enum word_kind: "#", "$", "%" */
	uint32_t buckets[BUCKETS];
	uint32_t prefix_lengths[PAIRS];	/* bit n: a prefix of n bytes begins with this pair */
	ARRAY(struct link) links;
	struct phrase *anchored;	/* of all atoms, atom by atom; made by patterns_seal() */
	ARRAY(struct element) elements;
	ARRAY(uint32_t) choices;
	ARRAY(struct phrase) phrases;
};

/* The words being scanned, with what the patterns know of each. */
struct scan {
	const struct patterns *p;
	const struct word *words;
	size_t n;
	uint32_t atoms[WORDS_CAP];
	uint32_t bits[WORDS_CAP];
	bool opens[WORDS_CAP];
};

/* The array with room for one more, zeroed. */
static void *with_room(void *at, uint32_t *size, uint32_t n, size_t each)
{
	if (n == *size) {
		*size = *size ? *size * 2 : 64;
		at = xrealloc(at, *size * each);
	}
	memset((char *)at + n * each, 0, each);
	return at;
}

struct patterns *patterns_new(void)
{
	struct patterns *p = xcalloc(1, sizeof(*p));

	for (int kind = WORD_PLAIN; kind <= WORD_PERCENT; kind++)
		PUSH(p->atoms)->parent = kind > WORD_NUMBER ? WORD_NUMBER : 0;
	return p;
}

void patterns_free(struct patterns *p)
{
	if (!p)
		return;
	free(p->atoms.at);
	free(p->links.at);
	free(p->anchored);
	free(p->elements.at);
	free(p->choices.at);
	free(p->phrases.at);
	free(p);
}

static uint32_t bucket_of(uint32_t hash, bool prefix)
{
	return (hash ^ hash >> 15 ^ prefix) & (BUCKETS - 1);
}

static uint32_t lookup(const struct patterns *p, const char *text, size_t len, uint32_t hash,
		       bool prefix)
{
	uint32_t a = p->buckets[bucket_of(hash, prefix)];

	while (a && (p->atoms.at[a].hash != hash || p->atoms.at[a].prefix != prefix ||
		     p->atoms.at[a].len != len ||
		     memcmp(p->atoms.at[a].text, text, len) != 0))
		a = p->atoms.at[a].next;
	return a;
}

static uint32_t pair_of(const char *text)
{
	return (text[0] & 31u) << 5 | (text[1] & 31u);
}

/* The longest "prefix*" that the text begins with, 0 for none. */
static uint32_t find_prefix(const struct patterns *p, const char *text, size_t len)
{
	uint32_t lengths = len < 2 ? 0 : p->prefix_lengths[pair_of(text)], longest = 0, found;
	uint32_t hash = WORD_HASH_BEGIN;

	for (size_t i = 0; i < len && lengths >> (i + 1); i++) {
		hash = word_hash(hash, text[i]);
		if (!(lengths >> (i + 1) & 1))
			continue;
		found = lookup(p, text, i + 1, hash, true);
		longest = found ? found : longest;
	}
	return longest;
}

static uint32_t intern(struct patterns *p, const char *text, size_t len, bool prefix)
{
	uint32_t hash = WORD_HASH_BEGIN, found, *bucket;
	struct atom *atom;

	for (size_t i = 0; i < len; i++)
		hash = word_hash(hash, text[i]);
	found = lookup(p, text, len, hash, prefix);
	if (found)
		return found;
	bucket = &p->buckets[bucket_of(hash, prefix)];
	atom = PUSH(p->atoms);
	memcpy(atom->text, text, len);
	atom->len = (uint8_t)len;
	atom->prefix = prefix;
	atom->hash = hash;
	atom->next = *bucket;
	*bucket = p->atoms.n - 1;
	if (prefix)
		p->prefix_lengths[pair_of(text)] |= 1u << len;
	return *bucket;
}

static void add_choice(struct patterns *p, struct element *e, uint32_t atom)
{
	*PUSH(p->choices) = atom;
	e->nchoices++;
}

/* People type "dont" and "thats"; but "well" is not "we'll", nor "were" "we're". */
static void add_unquoted(struct patterns *p, struct element *e, const struct word *w)
{
	const char *quote = strchr(w->text, '\'');
	char plain[WORD_CAP_BYTES + 1];
	size_t before;

	if (!quote || strcmp(quote, "'ll") == 0 || strcmp(quote, "'re") == 0 ||
	    strcmp(quote, "'d") == 0)
		return;
	before = (size_t)(quote - w->text);
	memcpy(plain, w->text, before);
	memcpy(plain + before, quote + 1, w->len - before);
	add_choice(p, e, intern(p, plain, w->len - 1u, false));
}

static int add_word(struct patterns *p, struct element *e, const char *text, size_t len,
		    struct err *err)
{
	static const char kinds[] = " #$%";
	bool prefix = len > 1 && text[len - 1] == '*';
	struct word words[WORDS_CAP];

	if (e->nchoices == CHOICES_CAP)
		return err_set(err, ERR_CONFIG, "more than %d words between |", CHOICES_CAP);
	if (len == 1 && strchr(kinds + 1, *text)) {
		add_choice(p, e, (uint32_t)(strchr(kinds, *text) - kinds));
		return 0;
	}
	if (prefix)
		len--;
	if (words_read(text, len, words) != 1 || words[0].len != len)
		return err_set(err, ERR_CONFIG, "\"%.*s\" is not one word", (int)len, text);
	if (prefix && len < 2)
		return err_set(err, ERR_CONFIG, "\"%.*s*\" begins with fewer than two letters",
			       (int)len, text);
	add_choice(p, e, intern(p, words[0].text, len, prefix));
	if (!prefix)
		add_unquoted(p, e, &words[0]);
	return 0;
}

static int add_choices(struct patterns *p, struct element *e, const char *text, size_t len,
		       struct err *err)
{
	const char *end = text + len;

	e->choice = p->choices.n;
	for (;;) {
		const char *bar = memchr(text, '|', (size_t)(end - text));
		const char *stop = bar ? bar : end;

		if (add_word(p, e, text, (size_t)(stop - text), err) != 0)
			return -1;
		if (!bar)
			return 0;
		text = bar + 1;
	}
}

static int add_element(struct patterns *p, struct phrase *phrase, const char *text, size_t len,
		       struct err *err)
{
	struct element e = { .kind = ELEMENT_WORD };

	if (phrase->nelements == PHRASE_WORDS_CAP)
		return err_set(err, ERR_CONFIG, "it has more than %d words", PHRASE_WORDS_CAP);
	if (len == 1 && *text == '*')
		e.kind = ELEMENT_ANY;
	else if (len == 3 && memcmp(text, "...", 3) == 0)
		e.kind = ELEMENT_GAP;
	else if (add_choices(p, &e, text, len, err) != 0)
		return -1;
	*PUSH(p->elements) = e;
	phrase->nelements++;
	return 0;
}

/* The words of text[0..len), blanks between them. */
static int add_elements(struct patterns *p, struct phrase *phrase, const char *text, size_t len,
			struct err *err)
{
	const char *end = text + len;

	while (text < end) {
		const char *blank = memchr(text, ' ', (size_t)(end - text));
		const char *stop = blank ? blank : end;

		if (stop > text && add_element(p, phrase, text, (size_t)(stop - text), err) != 0)
			return -1;
		text = stop + 1;
	}
	return 0;
}

/* A phrase begins and ends with a word, and has few gaps. */
static int check_shape(const struct patterns *p, const struct phrase *phrase, struct err *err)
{
	const struct element *e;
	unsigned gaps = 0;

	if (phrase->nelements == 0)	/* nor may there be any element yet to point at */
		return err_set(err, ERR_CONFIG, "it has no words");
	e = &p->elements.at[phrase->element];
	if (e[0].kind != ELEMENT_WORD)
		return err_set(err, ERR_CONFIG, "it does not begin with a word");
	if (e[phrase->nelements - 1].kind == ELEMENT_GAP)
		return err_set(err, ERR_CONFIG, "\"...\" stands at its end");
	for (uint32_t i = 0; i < phrase->nelements; i++)
		gaps += e[i].kind == ELEMENT_GAP;
	if (gaps > GAPS_CAP)
		return err_set(err, ERR_CONFIG, "it has more than %d times \"...\"", GAPS_CAP);
	return 0;
}

/* How often it would be tried in vain: what is anchored there already; short words are common. */
static size_t anchor_cost(const struct patterns *p, const struct element *e)
{
	size_t cost = 0;

	for (uint32_t i = 0; i < e->nchoices; i++) {
		const struct atom *atom = &p->atoms.at[p->choices.at[e->choice + i]];

		cost += (1 + atom->nphrases) * (atom->len < SHORT_WORD ? 8 : 1);
	}
	return cost;
}

/* The cheapest element at a known distance from the phrase's beginning: before any gap. */
static uint32_t choose_anchor(const struct patterns *p, const struct phrase *phrase)
{
	const struct element *e = &p->elements.at[phrase->element];
	uint32_t best = 0;

	for (uint32_t i = 1; i < phrase->nelements && e[i].kind != ELEMENT_GAP; i++)
		if (e[i].kind == ELEMENT_WORD && anchor_cost(p, &e[i]) <= anchor_cost(p, &e[best]))
			best = i;
	return best;
}

static uint32_t atom_bit(uint32_t atom)
{
	return 1u << (atom & 31);
}

/*
 * The word that is looked at before the phrase is tried: of those at a known distance, the one with
 * fewest choices.
 */
static void choose_filter(const struct patterns *p, struct phrase *phrase)
{
	const struct element *e = &p->elements.at[phrase->element], *best = NULL;

	for (uint32_t i = 0; i < phrase->nelements && e[i].kind != ELEMENT_GAP; i++)
		if (e[i].kind == ELEMENT_WORD && i != phrase->anchor &&
		    (!best || e[i].nchoices < best->nchoices))
			best = &e[i];
	if (!best)
		best = &e[phrase->anchor];
	phrase->filter_at = (int8_t)(best - e - phrase->anchor);
	for (uint32_t i = 0; i < best->nchoices; i++)
		phrase->filter |= atom_bit(p->choices.at[best->choice + i]);
}

static void anchor_phrase(struct patterns *p, struct phrase phrase)
{
	struct element anchor;

	phrase.anchor = (uint8_t)choose_anchor(p, &phrase);
	choose_filter(p, &phrase);
	anchor = p->elements.at[phrase.element + phrase.anchor];
	for (uint32_t i = 0; i < anchor.nchoices; i++) {
		uint32_t atom = p->choices.at[anchor.choice + i];

		*PUSH(p->links) = (struct link){ .atom = atom, .phrase = p->phrases.n };
		p->atoms.at[atom].nphrases++;
	}
	*PUSH(p->phrases) = phrase;
}

int patterns_add(struct patterns *p, const char *text, unsigned list, struct err *err)
{
	struct phrase phrase = { .element = p->elements.n, .list = (uint16_t)list };
	size_t len = strlen(text);

	if (len > PHRASE_CAP_BYTES)
		return err_set(err, ERR_CONFIG, "it is longer than %d bytes", PHRASE_CAP_BYTES);
	if (*text == '^') {
		phrase.opens = true;
		text++;
		len--;
	}
	if (len > 0 && text[len - 1] == '?') {
		phrase.asks = true;
		len--;
	}
	if (add_elements(p, &phrase, text, len, err) != 0 || check_shape(p, &phrase, err) != 0)
		return -1;
	anchor_phrase(p, phrase);
	return 0;
}

int patterns_add_opener(struct patterns *p, const char *word, struct err *err)
{
	struct element e = { .choice = p->choices.n };
	size_t len = strlen(word);

	if (len > PHRASE_CAP_BYTES)
		return err_set(err, ERR_CONFIG, "it is longer than %d bytes", PHRASE_CAP_BYTES);
	if (add_word(p, &e, word, len, err) != 0)
		return -1;
	for (uint32_t i = 0; i < e.nchoices; i++)
		p->atoms.at[p->choices.at[e.choice + i]].opener = true;
	return 0;
}

/* Side by side, in the order of the atoms. */
static void lay_out_phrases(struct patterns *p)
{
	uint32_t next = 0;

	p->anchored = xcalloc(p->links.n, sizeof(*p->anchored));
	for (uint32_t a = 0; a < p->atoms.n; a++) {
		p->atoms.at[a].first = next;
		next += p->atoms.at[a].nphrases;
		p->atoms.at[a].nphrases = 0;
	}
	for (uint32_t l = 0; l < p->links.n; l++) {
		struct atom *atom = &p->atoms.at[p->links.at[l].atom];

		p->anchored[atom->first + atom->nphrases++] = p->phrases.at[p->links.at[l].phrase];
	}
}

void patterns_seal(struct patterns *p)
{
	for (uint32_t a = WORD_PERCENT + 1; a < p->atoms.n; a++) {
		struct atom *atom = &p->atoms.at[a];

		atom->parent = find_prefix(p, atom->text, atom->len - (atom->prefix ? 1u : 0u));
	}
	for (uint32_t a = 1; a < p->atoms.n; a++)
		for (uint32_t b = a; b; b = p->atoms.at[b].parent)
			p->atoms.at[a].bits |= atom_bit(b);
	lay_out_phrases(p);
}

/* The longest atom a word matches; its parents match too. */
static uint32_t find_atom(const struct patterns *p, const struct word *w)
{
	uint32_t found = lookup(p, w->text, w->len, w->hash, false);

	if (!found)
		found = find_prefix(p, w->text, w->len);
	return found ? found : w->kind;
}

/* The next atom that a word of this kind matches; 0 after the last. */
static uint32_t next_atom(const struct patterns *p, uint32_t atom, uint8_t kind)
{
	uint32_t parent = p->atoms.at[atom].parent;

	return parent || atom <= WORD_PERCENT ? parent : kind;
}

static bool word_matches(const struct scan *s, const struct element *e, size_t w)
{
	const uint32_t *choices = &s->p->choices.at[e->choice];

	for (uint32_t a = s->atoms[w]; a; a = next_atom(s->p, a, s->words[w].kind))
		for (uint32_t i = 0; i < e->nchoices; i++)
			if (choices[i] == a)
				return true;
	return false;
}

/* Whether elements e[0..n) are found from word w on, all in one sentence. */
static bool elements_match(const struct scan *s, const struct element *e, uint32_t n, size_t w,
			   uint16_t sentence)
{
	for (; n > 0; e++, n--, w++) {
		if (e->kind == ELEMENT_GAP) {
			for (size_t skip = 0; skip <= GAP_WORDS; skip++)
				if (elements_match(s, e + 1, n - 1, w + skip, sentence))
					return true;
			return false;
		}
		if (w >= s->n || s->words[w].sentence != sentence)
			return false;
		if (e->kind == ELEMENT_WORD && !word_matches(s, e, w))
			return false;
	}
	return true;
}

/* The phrases anchored to this atom, which word w is. */
static void try_phrases(const struct scan *s, uint32_t a, size_t w, bool *found)
{
	const struct atom *atom = &s->p->atoms.at[a];
	const struct phrase *phrase = &s->p->anchored[atom->first], *end = phrase + atom->nphrases;
	const struct word *word = &s->words[w];

	for (; phrase < end; phrase++) {
		/* Before the first word is far beyond the last. */
		size_t other = w + (size_t)phrase->filter_at;

		if (other >= s->n || !(s->bits[other] & phrase->filter) || found[phrase->list] ||
		    phrase->anchor > w || (phrase->asks && !word->asks) ||
		    (phrase->opens && !s->opens[w - phrase->anchor]))
			continue;
		found[phrase->list] = elements_match(s, &s->p->elements.at[phrase->element],
						     phrase->nelements, w - phrase->anchor,
						     word->sentence);
	}
}

void patterns_scan(const struct patterns *p, const struct word *words, size_t n, bool *found)
{
	struct scan s;

	s.p = p;
	s.words = words;
	s.n = n;
	for (size_t i = 0; i < n; i++) {
		s.atoms[i] = find_atom(p, &words[i]);
		s.bits[i] = p->atoms.at[s.atoms[i]].bits | p->atoms.at[words[i].kind].bits;
		s.opens[i] = words[i].opens ||
			     (i > 0 && s.opens[i - 1] && p->atoms.at[s.atoms[i - 1]].opener);
	}
	for (size_t i = 0; i < n; i++)
		for (uint32_t a = s.atoms[i]; a; a = next_atom(p, a, words[i].kind))
			try_phrases(&s, a, i, found);
}
