/*
 * Request lines through command_run, once as a reader and once as an admin. For libFuzzer; what
 * must hold for every input is checked here, what sanitizers see comes on top.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../unit/fake_pool.h"
#include "base/buf.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/server.h"

#define CHECK(claim) do { if (!(claim)) abort(); } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err err;

	(void)argc, (void)argv;
	CHECK(log_open("/dev/null", LOG_LEVEL_INFO, &err) == 0);
	fake_reset();
	for (int i = 0; i < 3; i++) {
		atomic_store(&fake.sb->slots[i].pid, 100 + i);
		atomic_store(&fake.sb->slots[i].state, SLOT_BUSY);
		shared_text_set(&fake.sb->slots[i].error, "cannot reach the rater");
	}
	return 0;
}

static void run(const char *line, bool admin)
{
	struct err err = { 0 };
	struct buf out;
	int rc;

	buf_init(&out, 1 << 20);
	rc = command_run(&fake.pool, line, admin, &out, &err);
	if (rc == CONTROL_GOES_ON) {
		CHECK(admin && out.len == 0);
	} else if (rc == -1) {
		CHECK(err.kind != ERR_NONE && err.text[0]);
		for (const char *p = err.text; *p; p++)	/* it goes to a terminal, in one line */
			CHECK(*p >= ' ' && *p < 0x7f);
	} else {
		CHECK(buf_ok(&out) && out.len > 0 && out.data[out.len - 1] == '\n');
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[CONTROL_LINE_CAP + 64];
	int actions = fake.actions;

	if (size >= sizeof(line))
		size = sizeof(line) - 1;
	memcpy(line, data, size);
	line[size] = '\0';
	run(line, false);
	CHECK(fake.actions == actions);
	run(line, true);
	CHECK(fake.actions <= actions + 1);
	return 0;
}
