/*
 * Who holds a job, as written into claimed_by: HOST/BOOT/PID/START. Boot id and start time make it
 * unique for ever: neither a reborn host nor a reused pid owns what its forerunner claimed. BOOT is
 * BOOTID.PIDNS: processes of another pid namespace (a container) cannot be looked up from here.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "scoreboard/deaths.h"

/* This process's own; out has IDENTITY_SIZE bytes. */
void identity_self(char *out);
/* "HOST/", to find the claims of this host. */
void identity_host_prefix(char *out, size_t size);
/*
 * True when the identity is of this host and no process of now can be it. That of another boot
 * counts as dead only when other_boots is set: ask so once after a start, and hosts that were given
 * the same name do not take each other's jobs again and again.
 */
bool identity_is_dead(const char *identity, bool other_boots);

#endif
