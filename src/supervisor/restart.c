/* Restart policy, pure; used by the supervisor alone. It never forks, waits or reads a clock. */
#include "restart.h"

#include <sys/wait.h>

#include "base/exit_code.h"

static bool is_crash(int status)
{
	return !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED);
}

struct restart_decision restart_decide(struct restart_history *h, int status, int64_t lived_ms,
				       bool useful, bool was_up, uint32_t random)
{
	struct restart_decision d = { false, 0 };

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_BAD_CONFIG && !was_up) {
		d.stop_all = true;
		return d;
	}
	if (useful || lived_ms >= RESTART_GOOD_LIFE_MS)
		h->crashes = 0;
	if (!is_crash(status))
		return d;
	h->crashes++;
	if (h->crashes == 1)
		return d;
	d.delay_ms = RESTART_FIRST_DELAY_MS;
	for (unsigned i = 2; i < h->crashes && d.delay_ms < RESTART_MAX_DELAY_MS; i++)
		d.delay_ms *= 2;
	if (d.delay_ms > RESTART_MAX_DELAY_MS)
		d.delay_ms = RESTART_MAX_DELAY_MS;
	d.delay_ms -= d.delay_ms / 2 * (int64_t)(random & 0xffff) / 0xffff;
	return d;
}
