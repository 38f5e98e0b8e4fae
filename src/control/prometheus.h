/* All that a scoreboard counts, for machines that watch the pool. */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H

#include "base/buf.h"
#include "scoreboard/scoreboard.h"

/* Prometheus text format 0.0.4; an unknown gauge is left out. */
void prometheus_render(const struct scoreboard *sb, struct buf *out);
/* The same as one JSON object, name to value; an unknown gauge is null. */
void prometheus_render_json(const struct scoreboard *sb, struct buf *out);

#endif
