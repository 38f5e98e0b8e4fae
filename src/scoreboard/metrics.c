/* The list of metrics as data. Any process; it touches no shared memory. */
#include "scoreboard/metrics.h"

#define X(id, name, help) { name, help },
const struct metric counter_list[COUNTER_COUNT] = { COUNTERS(X) };
const struct metric gauge_list[GAUGE_COUNT] = { GAUGES(X) };
#undef X
