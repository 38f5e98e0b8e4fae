/*
 * Which addresses of the network are inside: of this host, of a private network, of a cloud's
 * metadata service, or of nobody. Who may choose an address, or a name that leads to one, must not
 * have us speak to these. Pure; any process.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_SIZE 64

/*
 * True unless it is an address of the public internet, as IANA's registries of special addresses
 * have it. An IPv6 address that stands for one of IPv4 (mapped, NAT64, 6to4) is as good as that.
 * What is neither IPv4 nor IPv6 is inside.
 */
bool address_is_inside(const struct sockaddr *address, socklen_t len);

/* The address without its port, for people. */
void address_text(const struct sockaddr *address, socklen_t len, char text[ADDRESS_TEXT_SIZE]);

#endif
