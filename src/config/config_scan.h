/* A look at a configuration's text before libconfig gets it. Pure. For config.c. */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

struct config_scan_fault {
	unsigned line;
	char text[128];
};

/* Refuses what libconfig would silently change or act upon. Returns 0, or -1 and the fault. */
int config_scan(const char *text, struct config_scan_fault *fault);

#endif
