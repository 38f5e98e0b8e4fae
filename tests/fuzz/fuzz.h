/* What the fuzzers share: a check that aborts, and an opinion on UTF-8 that is the C library's. */
#ifndef FUZZ_H
#define FUZZ_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
		abort(); \
	} \
} while (0)

/* A text of ours: NUL-terminated UTF-8 of at most cap_bytes. */
static inline void check_text(const char *text, size_t cap_bytes)
{
	static bool ready;

	if (!ready)
		CHECK(setlocale(LC_CTYPE, "C.UTF-8"));
	ready = true;
	CHECK(text != NULL);
	CHECK(strlen(text) <= cap_bytes);
	CHECK(mbstowcs(NULL, text, 0) != (size_t)-1);
}

#endif
