/*
 * Splits a line of talk into words; any process. Keeps no state, and knows nothing of their
 * meaning.
 */
#include "rubric/words.h"

#include <string.h>

enum class { OTHER, LETTER, DIGIT, SLASH, QUOTE, CLAUSE, STOP, ASK, CURRENCY, PER_CENT };

/* A character as the reader sees it: its class, the bytes it takes, and the byte kept of it. */
struct glyph { uint8_t class, bytes; char as; };

static const uint8_t punctuation[128] = {
	['.'] = STOP, ['!'] = STOP, [';'] = STOP, ['?'] = ASK, ['/'] = SLASH,
	[','] = CLAUSE, [':'] = CLAUSE, ['('] = CLAUSE, [')'] = CLAUSE, ['"'] = CLAUSE,
	['\''] = QUOTE, ['`'] = QUOTE, ['$'] = CURRENCY, ['%'] = PER_CENT,
};

/* Characters beyond ASCII that talk is punctuated with. */
static const struct { char bytes[4]; struct glyph glyph; } signs[] = {
	{ "\u2019", { QUOTE, 3, '\'' } }, { "\u2018", { QUOTE, 3, '\'' } },
	{ "\u2013", { CLAUSE, 3, '-' } }, { "\u2014", { CLAUSE, 3, '-' } },
	{ "\u201c", { CLAUSE, 3, '"' } }, { "\u201d", { CLAUSE, 3, '"' } },
	{ "\u2026", { STOP, 3, '.' } }, { "\u20ac", { CURRENCY, 3, '$' } },
	{ "\u00a3", { CURRENCY, 2, '$' } }, { "\u00a2", { CURRENCY, 2, '$' } },
};

static struct glyph read_beyond_ascii(const char *p, const char *end)
{
	uint8_t lead = (uint8_t)*p;
	uint8_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		struct glyph g = signs[i].glyph;

		if (end - p >= g.bytes && memcmp(p, signs[i].bytes, g.bytes) == 0)
			return g;
	}
	/*
	 * U+0080-00BF, U+2000-2FFF and all from U+F000 on are symbols, the rest letters, byte by
	 * byte.
	 */
	if (lead == 0xc2 || lead == 0xe2 || lead >= 0xef)
		return (struct glyph){ OTHER, end - p < bytes ? (uint8_t)(end - p) : bytes, ' ' };
	return (struct glyph){ LETTER, 1, *p };
}

static struct glyph read_glyph(const char *p, const char *end)
{
	char c;

	if (p >= end)
		return (struct glyph){ OTHER, 0, ' ' };
	if ((uint8_t)*p >= 0x80)
		return read_beyond_ascii(p, end);
	c = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
	if (c >= 'a' && c <= 'z')
		return (struct glyph){ LETTER, 1, c };
	if (c >= '0' && c <= '9')
		return (struct glyph){ DIGIT, 1, c };
	return (struct glyph){ punctuation[(uint8_t)c], 1, c };
}

static uint8_t class_at(const char *p, const char *end)
{
	return read_glyph(p, end).class;
}

/* "$5" and ".50" begin with more than a letter or digit. */
static bool begins_word(struct glyph g, const char *p, const char *end)
{
	uint8_t after;

	if (g.class == LETTER || g.class == DIGIT)
		return true;
	after = class_at(p + g.bytes, end);
	return (g.class == CURRENCY && (after == DIGIT || after == STOP)) ||
	       (g.as == '.' && after == DIGIT);
}

/* Whether g, found at p within w, is part of it: "don't", "1,200.50", "9:30", "24/7", "20%". */
static bool continues_word(const struct word *w, struct glyph g, const char *p, const char *end)
{
	if (g.class == LETTER || g.class == DIGIT)
		return true;
	if (g.class == QUOTE)
		return class_at(p + g.bytes, end) == LETTER;
	if (w->kind == WORD_PLAIN)
		return false;
	if (g.class == PER_CENT || g.class == CURRENCY)
		return true;
	return memchr(".,:/", g.as, 4) && class_at(p + g.bytes, end) == DIGIT;
}

static void add_glyph(struct word *w, struct glyph g)
{
	if (g.class == CURRENCY)
		w->kind = WORD_MONEY;
	else if (g.class == PER_CENT)
		w->kind = WORD_PERCENT;
	else if (w->len == 0 && g.class != LETTER)
		w->kind = WORD_NUMBER;
	if (w->len < WORD_CAP_BYTES) {
		w->text[w->len++] = g.as;
		w->hash = word_hash(w->hash, g.as);
	}
}

/* The plain run of letters that most words are; what is left is for the careful loop below. */
static const char *read_letters(struct word *w, const char *p, const char *end)
{
	const char *stop = end - p > WORD_CAP_BYTES ? p + WORD_CAP_BYTES : end;
	uint32_t hash = WORD_HASH_BEGIN;
	char *out = w->text;

	for (; p < stop; p++) {
		char c = (char)(*p | 0x20);

		if (c < 'a' || c > 'z')
			break;
		*out++ = c;
		hash = word_hash(hash, c);
	}
	w->len = (uint8_t)(out - w->text);
	w->hash = hash;
	return p;
}

/* Reads the word that begins at p into w; returns where it ends. */
static const char *read_word(struct word *w, const char *p, const char *end)
{
	const char *begin = p;
	struct glyph g;

	p = read_letters(w, p, end);
	while (p < end && *p != ' ') {
		g = read_glyph(p, end);
		if (p > begin && !continues_word(w, g, p, end))
			break;
		add_glyph(w, g);
		p += g.bytes;
	}
	w->text[w->len] = '\0';
	return p;
}

/* The sentence of the last word asks. */
static void mark_asking(struct word *words, size_t n)
{
	for (size_t i = n; i-- > 0 && words[i].sentence == words[n - 1].sentence; )
		words[i].asks = true;
}

size_t words_read(const char *text, size_t len, struct word words[WORDS_CAP])
{
	const char *p = text, *end = text + len;
	uint16_t sentence = 0;
	bool opens = true;
	size_t n = 0;

	while (p < end && n < WORDS_CAP) {
		struct glyph g;

		if (*p == ' ') {	/* by far the most common */
			p++;
			continue;
		}
		g = read_glyph(p, end);
		if (begins_word(g, p, end)) {
			words[n].kind = WORD_PLAIN;
			words[n].opens = opens;
			words[n].asks = false;
			words[n].sentence = sentence;
			p = read_word(&words[n++], p, end);
			opens = false;
			continue;
		}
		if (g.class == ASK && n > 0 && !words[n - 1].asks)	/* "what!?" asks as well */
			mark_asking(words, n);
		if ((g.class == STOP || g.class == ASK) && n > 0 &&
		    words[n - 1].sentence == sentence)
			sentence++;
		opens = opens || g.class == STOP || g.class == ASK || g.class == CLAUSE;
		p += g.bytes;
	}
	return n;
}
