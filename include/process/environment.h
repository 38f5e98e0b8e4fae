/*
 * Secrets in the environment: kept from those who may read /proc/PID/environ, and from children
 * that have no use for them. Supervisor and children; no locks, so not beside threads.
 */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

/* Where the kernel put our environment; to be called once, before anybody sets a variable. */
void environment_init(char **envp);

/*
 * Shows the variable starred in /proc/PID/environ from now on; getenv() gives its value as before.
 * One that is not set or empty, and a second call, are fine. Without memory for it everything stays
 * as it was.
 */
void environment_hide(const char *name);

/* Wipes the variable's value from this process's memory, and takes it out of the environment. */
void environment_forget(const char *name);

#endif
