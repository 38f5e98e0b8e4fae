/*
 * Lines to the system's log daemon, as syslog(3) sends them, but without waiting for it: that one
 * blocks while the daemon does not read. Private to log.c.
 */
#ifndef LOG_SYSLOG_H
#define LOG_SYSLOG_H

#define LOG_SYSLOG_PATH "/dev/log"

/*
 * One message of this severity (LOG_ERR ...), from `who`, to the daemon at path. Connects when it
 * has to, again after the daemon was restarted. Returns 0, or -1 and errno.
 */
int log_syslog_send(const char *path, int severity, const char *who, const char *message);
/* After this the next message connects anew. */
void log_syslog_close(void);

#endif
