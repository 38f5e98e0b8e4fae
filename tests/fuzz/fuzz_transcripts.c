/*
 * Any bytes as a file of transcripts. Whatever they are, reading ends, each transcript found is one
 * JSON object that stood in the file, and each refusal says where.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "ctl/transcripts.h"
#include "lib/json_strict.h"

static void check_found(const struct transcript *t, const uint8_t *data, size_t size)
{
	struct json_object *value;
	const char *why;

	CHECK(memmem(data, size, t->text, t->len));
	CHECK(json_strict_parse(t->text, t->len, &value, &why) == 0);
	CHECK(json_object_is_type(value, json_type_object));
	CHECK(json_object_is_type(json_object_object_get(value, "transcript"), json_type_array));
	json_object_put(value);
	CHECK(uuid5_is_uuid(t->session));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("transcripts", MFD_CLOEXEC), found;
	size_t rounds = 0;
	struct transcripts *r;
	struct transcript t;
	struct err err;
	char path[40];

	CHECK(fd != -1 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);	/* from its beginning */
	r = transcripts_open(path, &err);
	CHECK(r != NULL);
	while ((found = transcripts_next(r, &t, &err)) != 0) {
		CHECK(rounds++ <= size);	/* each takes a byte, but the array's end */
		CHECK(t.line >= 1 || found == -1);
		if (found == 1)
			check_found(&t, data, size);
		else
			CHECK(strncmp(err.text, path, strlen(path)) == 0);
	}
	CHECK(transcripts_fraction(r) >= 0);
	transcripts_close(r);
	close(fd);
	return 0;
}
