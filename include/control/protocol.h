/*
 * What daemon and gradingctl agree on for the control socket. A request is "WORDS... [json]\n"; the
 * reply is "ok LENGTH\n" and LENGTH bytes, or "err REASON\n"; then the connection is closed.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#define CONTROL_LINE_CAP 512		/* bytes of a request, its newline included */
#define CONTROL_DEADLINE_MS 5000	/* from connecting to the last byte of the reply */

#endif
