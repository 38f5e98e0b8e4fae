/*
 * The commands of gradingctl, but for `doctor`, which has a room of its own; each is in the cmd_*.c
 * of its subject.
 */
#ifndef CMD_H
#define CMD_H

#include "ctl/ctl.h"

/* args: the n words behind the command's name. Complains itself, and returns the exit status. */
typedef int cmd_fn(struct ctl *ctl, char **args, int n);

cmd_fn cmd_migrate, cmd_enqueue, cmd_progress, cmd_ratings, cmd_jobs, cmd_retry, cmd_cancel,
	cmd_forget, cmd_cache, cmd_export, cmd_webhooks;

#endif
