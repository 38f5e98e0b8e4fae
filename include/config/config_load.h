/*
 * From a file to a struct config. The table of keys (config_keys.c: path, type, place, default,
 * range, help) says what may stand in the file; config_check.h, what excludes what. No libpq,
 * libcurl or json-c here: the supervisor loads it, at start and on reload.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "base/err.h"
#include "config/config.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_DEFAULT_PATH SYSCONFDIR "/gradingd/gradingd.conf"

/*
 * Loads path (NULL: the default path), checks every key and every pair of keys that exclude each
 * other, and reads the API key. The caller frees it. NULL and err ("FILE:LINE: reason"), kind
 * ERR_CONFIG, when it is refused.
 */
struct config *config_load(const char *path, struct err *err);
/*
 * The same, and tells each mistake, at most CONFIG_MISTAKES_TOLD; err has the first of them, and
 * how many more there are. What libconfig cannot read at all is one mistake.
 */
#define CONFIG_MISTAKES_TOLD 20
typedef void config_mistake_fn(void *arg, const char *text);
struct config *config_load_telling(const char *path, config_mistake_fn *tell, void *arg,
				   struct err *err);
/* For gradingctl: the same without the API key, which its user may have no right to read. */
struct config *config_load_client(const char *path, struct err *err);
/* The same from text, as if it stood in a file at path; reads no file and no environment. */
struct config *config_parse_string(const char *text, const char *path, struct err *err);
void config_free(struct config *config);	/* wipes secrets; NULL is fine */

#endif
