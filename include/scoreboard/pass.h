/*
 * Places that claims pass. Where the database refuses a claim because of some of its rows, claims
 * of this host begin behind them from then on: at the pass of that class. So whatever is wrong
 * with the rows before it, those behind are claimed at their full rate. Before the pass one worker
 * of the host walks (worker/walk.h): it claims what can be claimed, finds out who is refused, and
 * ends the passing when nobody is any more. Workers, through the scoreboard; no locks.
 *
 * Each worker publishes the passes that it raised in its own slot; the highest of a class holds,
 * as long as the epoch lasts in which it was raised.
 */
#ifndef PASS_H
#define PASS_H

#include "scoreboard/floor.h"

/* Whether any places are passed. */
bool pass_is_on(const struct scoreboard *sb);
/* Where claims begin at the earliest, by class; n is 0 when nothing is passed. */
void pass_read(const struct scoreboard *sb, struct floors *out);

/* The place behind this one, for a pass that is to leave it out. */
struct floor pass_behind(const struct floor *place);
/* Raises the pass of that class, or adds it as far as there is room. */
void pass_add(struct floors *passes, const struct floor *to);
/*
 * Claims begin at these places from now on, where they do not begin later. slot: that of the worker
 * who says so. A class for which there is no more room is not passed.
 */
void pass_raise(struct scoreboard *sb, int slot, const struct floors *more);
/* How often that was done; a walk that began since has seen all that is passed. */
uint64_t pass_raised(const struct scoreboard *sb);
/* Nothing is passed any more, unless a pass was raised since it had been `raised` so often. */
void pass_end(struct scoreboard *sb, uint64_t raised);

/* ---- who walks ---- */

/* True when this worker does, from now on or already: nobody else that lives does. */
bool pass_take_walk(struct scoreboard *sb, int slot);
void pass_leave_walk(struct scoreboard *sb, int slot);
/* It has walked through all that was passed when a pass had been `raised` so often. */
void pass_walked(struct scoreboard *sb, uint64_t raised);
/* Whether all that is passed has been tried since it was passed. */
bool pass_is_walked(const struct scoreboard *sb);

#endif
