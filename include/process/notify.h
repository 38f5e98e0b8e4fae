/*
 * Messages to the service manager (sd_notify datagrams), without its library. All of them do
 * nothing where no manager listens, and none waits.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment, so
 * that no child speaks for the service. Supervisor, once, before the first fork; with -d after the
 * last fork of the daemon itself, since the watchdog names a pid.
 */
void notify_init(void);

void notify_ready(void);
void notify_reloading(void);		/* notify_ready() follows when the reload is over */
void notify_stopping(void);
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void notify_watchdog(void);

/* How often to call notify_watchdog(): half of the time the manager grants. 0: it wants none. */
int64_t notify_watchdog_ms(void);

#endif
